/** One provisional alarm on the board: told apart from alarms at a glance, with who, what, when and who has it. */
import { Tag } from '@digdir/designsystemet-react';
import { memo } from 'react';
import type { ShownProvisional } from '../../direct.ts';
import { addressOf } from '../view/places.ts';
import { subjectOf } from './alarm-row.tsx';
import { type App, nameOf, useApp } from './context.tsx';
import { Age } from './feed-status.tsx';

/** In whose hands it is. */
export function holderText(app: App, { claimedBy }: ShownProvisional): string {
  const { texts, session } = app;
  if (claimedBy === null) return texts.states.waiting;
  return claimedBy === session.account ? texts.card.youHave : texts.board.takenBy(nameOf(app, claimedBy));
}

export function ProvisionalTags({ alarm }: { readonly alarm: ShownProvisional }) {
  const { texts } = useApp();
  return (
    <span className="flags">
      <Tag data-size="sm" className="tag-provisional">
        {texts.provisional.tag}
      </Tag>
      {alarm.unreadable && (
        <Tag data-size="sm" data-color="warning">
          {texts.flags.unreadable}
        </Tag>
      )}
      {alarm.lost && (
        <Tag data-size="sm" data-color="danger" className="tag-solid">
          {texts.provisional.lost}
        </Tag>
      )}
    </span>
  );
}

interface RowProps {
  readonly alarm: ShownProvisional;
  readonly opened: boolean;
}

export const ProvisionalRow = memo(function ProvisionalRow({ alarm, opened }: RowProps) {
  const app = useApp();
  const { texts, session } = app;
  return (
    <li>
      <a
        className="row"
        href={addressOf({ screen: 'board', alarm: alarm.number })}
        data-number={alarm.number}
        data-priority={alarm.priority}
        data-provisional="true"
        data-sounding={alarm.claimedBy === null}
        data-mine={alarm.claimedBy === session.account}
        aria-current={opened ? 'true' : undefined}
      >
        <span className="row-what">
          <strong>{texts.kinds[alarm.kind]}</strong>
          <ProvisionalTags alarm={alarm} />
        </span>
        <span className="row-who">
          <span className="row-name">{subjectOf(app, alarm)}</span>
          {alarm.household !== null && alarm.household.zone !== '' && <span className="row-zone">{alarm.household.zone}</span>}
        </span>
        <span className="row-state">
          <span className="row-owner">{holderText(app, alarm)}</span>
          <span className="row-number">{alarm.number}</span>
        </span>
        <span className="row-age">
          <Age since={alarm.receivedAt} />
        </span>
      </a>
    </li>
  );
});
