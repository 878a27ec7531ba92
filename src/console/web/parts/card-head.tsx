/** The head of a card: what, who and where in one glance, who has it, and what must not be overlooked. */
import { Alert, Heading, Tag } from '@digdir/designsystemet-react';
import type { RefObject } from 'react';
import type { AlarmView } from '../../../alarms/view.ts';
import type { CardView } from '../contract.ts';
import { addressOfHome, said } from '../view/facts.ts';
import { addressOf } from '../view/places.ts';
import { Deadline, Flags, saysClaim, stateText, subjectOf } from './alarm-row.tsx';
import { clockTime, nameOf, useApp } from './context.tsx';
import { Age } from './feed-status.tsx';

interface CardHeadProps {
  readonly alarm: AlarmView;
  readonly card: CardView | null;
  /** Where in the home, in the words of the device. */
  readonly place: string | null;
  readonly heading: RefObject<HTMLHeadingElement | null>;
}

export function CardHead({ alarm, card, place, heading }: CardHeadProps) {
  const app = useApp();
  const { texts } = app;
  const home = card?.household ?? null;
  const address = addressOfHome(home);
  const room = said(card?.trigger?.room);
  const [only, another] = card?.residents ?? [];
  const years = another === undefined ? (only?.age ?? null) : null;
  return (
    <>
      <header className="card-band">
        <span className="card-priority">{texts.priorities[alarm.priority]}</span>
        <strong>{texts.kinds[alarm.kind]}</strong>
        {room !== null && <span>{room}</span>}
        {place !== null && place !== room && <span>{place}</span>}
        <Flags alarm={alarm} />
        <span className="card-number">{texts.card.title(alarm.number)}</span>
        <span className="card-age">
          <Age since={alarm.openedAt} label={texts.board.age} />
        </span>
        <a
          className="card-close"
          href={addressOf({ screen: 'board', alarm: null })}
          aria-label={texts.card.close}
          title={`${texts.card.close} (Esc)`}
        >
          <span aria-hidden="true">×</span>
        </a>
      </header>
      <div className="card-head">
        <div className="card-title-row">
          <Heading level={2} data-size="md" id="card-title" ref={heading} tabIndex={-1}>
            {home?.name ?? subjectOf(app, alarm)}
          </Heading>
          {years !== null && <span className="card-years">{texts.card.age(years)}</span>}
        </div>
        {address !== null && <p className="card-address">{address}</p>}
        <Standing alarm={alarm} />
        <Warnings alarm={alarm} card={card} />
      </div>
    </>
  );
}

/** How far it is, and in whose hands. */
function Standing({ alarm }: { readonly alarm: AlarmView }) {
  const app = useApp();
  const { texts, session } = app;
  const closed = alarm.state === 'closed';
  const ways: Readonly<Record<string, string>> = texts.contactWays;
  return (
    <p className="card-state">
      <Tag data-color={alarm.state === 'waiting' ? 'danger' : closed ? 'neutral' : 'info'}>{stateText(app, alarm)}</Tag>
      {alarm.claimedBy !== null && !closed && !saysClaim(alarm) && (
        <span>{alarm.claimedBy === session.account ? texts.card.youHave : texts.board.takenBy(nameOf(app, alarm.claimedBy))}</span>
      )}
      {alarm.contact !== null && (
        <Tag data-color="success">
          {texts.board.contact}: {ways[alarm.contact.how] ?? alarm.contact.how}
        </Tag>
      )}
      {!closed && <Deadline alarm={alarm} />}
      {closed && alarm.closedBy !== null && <span>{texts.card.closedBy(nameOf(app, alarm.closedBy), clockTime(app, alarm.closedAt))}</span>}
    </p>
  );
}

function Warnings({ alarm, card }: Pick<CardHeadProps, 'alarm' | 'card'>) {
  const app = useApp();
  const { texts } = app;
  const outcomes: Readonly<Record<string, string>> = texts.outcomes;
  const residents = card?.residents ?? [];
  const away = residents.filter((resident) => said(resident.away) !== null);
  const closed = alarm.state === 'closed';
  return (
    <>
      {away.map((resident) => (
        <Alert key={resident.id} data-color="warning" data-size="sm">
          <strong>
            {texts.card.away}: {resident.away}
          </strong>
          {residents.length > 1 ? ` (${resident.name})` : ''}
        </Alert>
      ))}
      {!closed && alarm.report !== null && (
        <Alert data-color="success" data-size="sm">
          {texts.card.reporting(nameOf(app, alarm.report.by), outcomes[alarm.report.outcome] ?? alarm.report.outcome)}
        </Alert>
      )}
      {!closed && alarm.signalCount > 1 && alarm.priority !== 'technical' && alarm.dispatchedTo === null && (
        <Alert data-color="danger" data-size="sm">
          {texts.card.mustDispatch(alarm.signalCount)}
        </Alert>
      )}
    </>
  );
}
