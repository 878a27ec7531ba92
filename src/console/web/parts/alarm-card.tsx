/** The alarm card: everything needed to answer one alarm, readable without taking it, with the commands on top. */
import { Alert, Button, Heading } from '@digdir/designsystemet-react';
import { type RefObject, useEffect, useMemo, useRef, useState } from 'react';
import type { AlarmView } from '../../../alarms/view.ts';
import type { AlarmWithTimeline, CardView, OrderedCommand } from '../contract.ts';
import { alarmPath } from '../net/http.ts';
import { type ConsoleCommand, type Offer, offersOf } from '../view/commands.ts';
import { newestCode, writtenBy } from '../view/scaip.ts';
import { ActionPlanView, Prompt, usePlanTicks } from './action-plan.tsx';
import { Access, Contacts, DeviceFacts, Raw, Residents } from './card-facts.tsx';
import { CardHead } from './card-head.tsx';
import { Earlier, Timeline } from './card-history.tsx';
import { PositionView } from './card-position.tsx';
import { Failed } from './card-failed.tsx';
import { CommandBar } from './command-bar.tsx';
import { CommandPanel } from './command-panel.tsx';
import { blockedText, refusalText, useApp, useFeed, useLoaded, useOrder } from './context.tsx';

/** What the board's key handler may do on the open card. */
export interface CardKeys {
  readonly press: (command: ConsoleCommand) => void;
  /** Closes what is open on the card; false: nothing was. */
  readonly back: () => boolean;
}

interface AlarmCardProps {
  readonly number: string;
  readonly keys: RefObject<CardKeys | null>;
}

export function AlarmCard({ number, keys }: AlarmCardProps) {
  const { texts } = useApp();
  const feed = useFeed();
  const held = feed.open.get(number) ?? feed.gone.get(number)?.alarm ?? null;
  const read = useLoaded<AlarmWithTimeline>(alarmPath(number), `${held?.version ?? 0} ${feed.provisional.returns}`);
  // What could not be read while the database was away is read again when it is back.
  const card = useLoaded<CardView>(alarmPath(number, '/card?why=alarm'), feed.provisional.returns);
  const fetched = read.value;
  const alarm = held !== null && (fetched === null || held.version >= fetched.version) ? held : fetched;
  if (alarm === null) {
    const failed = read.state === 'failed';
    return (
      <section className="card" aria-labelledby="card-title" aria-busy={!failed}>
        <Heading level={2} data-size="xs" id="card-title">
          {texts.card.title(number)}
        </Heading>
        {failed ? <Failed status={read.problem?.status ?? null} again={read.again} /> : <p className="waiting">{texts.app.loading}</p>}
      </section>
    );
  }
  return (
    <OpenCard
      alarm={alarm}
      timeline={fetched?.timeline ?? null}
      card={card.value}
      cardFailed={card.state === 'failed'}
      cardAgain={card.again}
      keys={keys}
    />
  );
}

interface OpenCardProps {
  readonly alarm: AlarmView;
  readonly timeline: AlarmWithTimeline['timeline'] | null;
  readonly card: CardView | null;
  readonly cardFailed: boolean;
  readonly cardAgain: () => void;
  readonly keys: RefObject<CardKeys | null>;
}

/** Carried out at once when asked for; the others open a panel first. */
const AT_ONCE: Partial<Record<ConsoleCommand, OrderedCommand>> = {
  claim: { command: 'claim' },
  release: { command: 'release' },
  see: { command: 'see' },
};

function OpenCard({ alarm, timeline, card, cardFailed, cardAgain, keys }: OpenCardProps) {
  const app = useApp();
  const { texts, session } = app;
  const { order, give, clear } = useOrder(alarm.number);
  const [panel, setPanel] = useState<ConsoleCommand | null>(null);
  const [blocked, setBlocked] = useState<Offer | null>(null);
  const heading = useRef<HTMLHeadingElement>(null);
  const ticks = usePlanTicks(alarm.number, card?.actionPlan ?? null);
  const offers = useMemo(() => offersOf(alarm, session), [alarm, session]);

  useEffect(() => heading.current?.focus({ preventScroll: true }), []);
  // A panel for a command that has become impossible (somebody else was quicker) goes away; the bar says why.
  const panelOffer = offers.find((offer) => offer.command === panel && offer.blocked === null) ?? null;

  function press(command: ConsoleCommand): void {
    const offer = offers.find((one) => one.command === command);
    if (offer === undefined) return;
    clear();
    if (offer.blocked !== null) {
      setPanel(null);
      setBlocked(offer);
      return;
    }
    setBlocked(null);
    const atOnce = AT_ONCE[command];
    if (atOnce === undefined) setPanel(command);
    else void give(atOnce, alarm.version);
  }
  function back(): boolean {
    if (panelOffer === null && order.state !== 'refused' && blocked === null) return false;
    setPanel(null);
    setBlocked(null);
    clear();
    heading.current?.focus({ preventScroll: true });
    return true;
  }
  useEffect(() => {
    keys.current = { press, back };
    return () => {
      keys.current = null;
    };
  });

  async function submit(command: OrderedCommand): Promise<void> {
    if (await give(command, alarm.version)) {
      setPanel(null);
      heading.current?.focus({ preventScroll: true });
    }
  }

  const closed = alarm.state === 'closed';
  const home = card?.household ?? null;
  const code = newestCode(timeline);
  const written = writtenBy(code, texts.scaip);
  const raw = card?.raw ?? null;
  return (
    <section className="card" aria-labelledby="card-title" data-priority={alarm.priority}>
      <CardHead alarm={alarm} card={card} place={written?.where ?? null} heading={heading} />
      <CommandBar offers={offers} order={order} pressed={panelOffer?.command ?? null} onPress={press} />
      <div aria-live="assertive">
        {order.state === 'refused' && (
          <Alert data-color="danger" data-size="sm" className="refusal">
            <strong>{texts.panel.refused}.</strong> {refusalText(app, order.problem, order.command)}
          </Alert>
        )}
        {blocked !== null && blocked.blocked !== null && (
          <Alert data-color="warning" data-size="sm" className="refusal">
            {blockedText(app, blocked)}
          </Alert>
        )}
      </div>
      {panelOffer !== null && (
        <CommandPanel
          key={panelOffer.command}
          command={panelOffer.command}
          alarm={alarm}
          ticks={ticks}
          pending={order.state === 'pending'}
          onSubmit={(command) => void submit(command)}
          onCancel={() => back()}
        />
      )}
      {cardFailed && (
        <Alert data-color="warning" data-size="sm">
          {texts.card.loadFailed}{' '}
          <Button data-size="sm" variant="secondary" onClick={cardAgain}>
            {texts.app.retry}
          </Button>
        </Alert>
      )}
      <div className="card-columns" aria-busy={card === null && !cardFailed}>
        <div className="card-main">
          {!closed && alarm.priority !== 'technical' && card !== null && <Prompt plan={card.actionPlan} />}
          {(raw !== null || alarm.unreadable || alarm.unknownDevice) && <Raw alarm={alarm} raw={raw} />}
          {alarm.position !== null && <PositionView position={alarm.position} household={home} />}
          {card !== null && <Residents card={card} />}
          {home !== null && <Access household={home} />}
          {card !== null && home !== null && <Contacts card={card} />}
          {card !== null && <DeviceFacts card={card} alarm={alarm} written={written} code={code} />}
        </div>
        <div className="card-side">
          {ticks.plan !== null && <ActionPlanView ticks={ticks} />}
          {card !== null && <Earlier earlier={card.earlier} />}
          <Timeline timeline={timeline} />
        </div>
      </div>
    </section>
  );
}
