/** Which key does what. */
import { Dialog, Heading, Paragraph } from '@digdir/designsystemet-react';
import { type ConsoleCommand, KEYS_OF } from '../view/commands.ts';
import { useTexts } from './context.tsx';

export function KeyHelp({ onClose }: { readonly onClose: () => void }) {
  const texts = useTexts();
  const rows: [string, string][] = [
    ['↑ ↓', texts.help.move],
    ['Enter', texts.help.open],
    ['Esc', texts.help.back],
    ...Object.entries(KEYS_OF).map(([command, key]): [string, string] => [key.toUpperCase(), texts.commands[command as ConsoleCommand]]),
    ['M', texts.help.sound],
    ['?', texts.help.this],
  ];
  return (
    <Dialog open onClose={onClose} closedby="any" closeButton={texts.help.close} aria-labelledby="key-help-title">
      <Heading level={2} data-size="xs" id="key-help-title">
        {texts.help.title}
      </Heading>
      <dl className="keys">
        {rows.map(([key, what]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <Paragraph data-size="sm">{texts.help.inField}</Paragraph>
    </Dialog>
  );
}
