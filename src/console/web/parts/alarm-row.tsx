/** One alarm on the board: what, who, where, how old, who has it, and what will happen next. */
import { Tag } from '@digdir/designsystemet-react';
import { memo } from 'react';
import type { AlarmView } from '../../../alarms/view.ts';
import { countdown } from '../view/ages.ts';
import { type Flag, flagsOf, toneOf } from '../view/board.ts';
import { addressOf } from '../view/places.ts';
import { type App, clockTime, nameOf, sentToName, useApp, useNow } from './context.tsx';
import { Age } from './feed-status.tsx';

/** Who it is about, as well as is known. */
export const subjectOf = ({ texts }: Pick<App, 'texts'>, alarm: Pick<AlarmView, 'household' | 'device'>): string =>
  alarm.household?.name ?? (alarm.device === '' ? texts.board.unknownHousehold : texts.board.device(alarm.device));

/** Somebody was there and has reported; nobody is on the way any more. */
const isReported = (alarm: AlarmView): boolean => alarm.report !== null && alarm.dispatchedTo === null && alarm.state !== 'closed';

/** Whether `stateText` names the owner of the claim; else it has to be said beside it. */
export const saysClaim = (alarm: AlarmView): boolean => alarm.state === 'claimed' && !isReported(alarm);

/** How far the alarm is, with the name of whoever has it. */
export function stateText(app: App, alarm: AlarmView): string {
  const { board, states } = app.texts;
  const who = (account: string): string => nameOf(app, account);
  if (alarm.report !== null && isReported(alarm)) return board.reported(who(alarm.report.by));
  switch (alarm.state) {
    case 'claimed':
      return alarm.claimedBy === null
        ? states.claimed
        : alarm.claimedBy === app.session.account
          ? app.texts.card.youHave
          : board.takenBy(who(alarm.claimedBy));
    case 'dispatched':
      return alarm.dispatchedTo === null ? states.dispatched : board.sentTo(sentToName(app, alarm.dispatchedTo));
    case 'responding':
      return alarm.responder === null ? states.responding : board.onTheWay(who(alarm.responder), clockTime(app, alarm.etaAt));
    case 'on-site':
      return alarm.responder === null ? states['on-site'] : board.onSite(who(alarm.responder));
    case 'waiting':
    case 'closed':
      return states[alarm.state];
  }
}

const TAG_COLOR = { danger: 'danger', warning: 'warning', info: 'info', neutral: 'neutral' } as const;

export function Flags({ alarm, skip }: { readonly alarm: AlarmView; readonly skip?: readonly Flag[] }) {
  const { texts } = useApp();
  const flags = flagsOf(alarm).filter((flag) => skip?.includes(flag) !== true);
  if (flags.length === 0) return null;
  return (
    <span className="flags">
      {flags.map((flag) => (
        <Tag key={flag} data-size="sm" data-color={TAG_COLOR[toneOf(flag)]} className={toneOf(flag) === 'danger' ? 'tag-solid' : ''}>
          {flag === 'repeat' ? texts.board.repeat(alarm.signalCount) : texts.flags[flag]}
        </Tag>
      ))}
    </span>
  );
}

/** The armed deadline running down, in words. */
export function Deadline({ alarm }: { readonly alarm: AlarmView }) {
  const { texts } = useApp();
  const now = useNow();
  if (alarm.nextDeadline === null) return null;
  const left = countdown(alarm.nextDeadline.at, now);
  if (left === null) return null;
  return (
    <span className="deadline" data-close={left.close}>
      {left.passed ? texts.card.deadlinePassed : `${texts.waits[alarm.nextDeadline.what]} ${left.text}`}
    </span>
  );
}

interface RowProps {
  readonly alarm: AlarmView;
  readonly opened: boolean;
}

export const AlarmRow = memo(function AlarmRow({ alarm, opened }: RowProps) {
  const app = useApp();
  const { texts, session } = app;
  const mine = alarm.claimedBy === session.account;
  const others = alarm.claimedBy !== null && !mine;
  const sounding = alarm.attention.sounds === 'everyone' || (alarm.attention.sounds === 'owner' && mine);
  return (
    <li>
      <a
        className="row"
        href={addressOf({ screen: 'board', alarm: alarm.number })}
        data-number={alarm.number}
        data-priority={alarm.priority}
        data-sounding={sounding}
        data-mine={mine}
        aria-current={opened ? 'true' : undefined}
      >
        <span className="row-what">
          <strong>{texts.kinds[alarm.kind]}</strong>
          <Flags alarm={alarm} />
        </span>
        <span className="row-who">
          <span className="row-name">{subjectOf(app, alarm)}</span>
          {alarm.household !== null && alarm.household.zone !== '' && <span className="row-zone">{alarm.household.zone}</span>}
        </span>
        <span className="row-state">
          <span className="row-owner">
            {stateText(app, alarm)}
            {others && !saysClaim(alarm) && alarm.claimedBy !== null ? ` · ${nameOf(app, alarm.claimedBy)}` : ''}
            {mine && !saysClaim(alarm) ? ` · ${texts.board.mine}` : ''}
          </span>
          <Deadline alarm={alarm} />
        </span>
        <span className="row-age">
          <Age since={alarm.openedAt} />
        </span>
      </a>
    </li>
  );
});
