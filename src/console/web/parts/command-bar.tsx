/** The commands of a card as buttons, each with its key; one that is barred stays visible with its reason. */
import { Button } from '@digdir/designsystemet-react';
import type { ConsoleCommand, Offer } from '../view/commands.ts';
import type { OrderState } from './context.tsx';
import { blockedText, useApp } from './context.tsx';

interface CommandBarProps {
  readonly offers: readonly Offer[];
  readonly order: OrderState;
  readonly pressed: ConsoleCommand | null;
  readonly onPress: (command: ConsoleCommand) => void;
}

export function CommandBar({ offers, order, pressed, onPress }: CommandBarProps) {
  const app = useApp();
  const { texts } = app;
  const pending = order.state === 'pending' ? order.command : null;
  const barred = offers.find((offer) => offer.command === 'close' && offer.blocked !== null);
  return (
    <div className="command-bar" role="group" aria-label={texts.app.commands}>
      {offers.map((offer) => (
        <Button
          key={offer.command}
          variant={offer.primary ? 'primary' : 'secondary'}
          data-color={offer.primary ? 'accent' : 'neutral'}
          data-size="sm"
          data-command={offer.command}
          loading={pending === offer.command}
          // Barred buttons stay in the tab order, so that everybody can find out why (WAI-ARIA practices).
          aria-disabled={offer.blocked !== null || (pending !== null && pending !== offer.command)}
          aria-expanded={pressed === offer.command ? true : undefined}
          aria-describedby={offer.blocked !== null && offer.blocked.why === barred?.blocked?.why ? 'commands-barred' : undefined}
          aria-keyshortcuts={offer.key}
          onClick={() => pending === null && onPress(offer.command)}
        >
          {pending === offer.command ? texts.app.sending : texts.commands[offer.command]}
          <kbd aria-hidden="true">{offer.key.toUpperCase()}</kbd>
        </Button>
      ))}
      {barred !== undefined && (
        <p className="barred" id="commands-barred">
          {blockedText(app, barred)}
        </p>
      )}
    </div>
  );
}
