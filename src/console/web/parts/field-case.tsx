/** One case on the phone: who, where, why, how to get in, and the one or two things to do next. */
import { Heading, Tag } from '@digdir/designsystemet-react';
import type { AlarmView } from '../../../alarms/view.ts';
import type { CardView } from '../contract.ts';
import type { KeptCase } from '../net/kept.ts';
import { type QueuedAct, refusedActs, textToSave } from '../view/acts.ts';
import { accessInOrder, addressOfHome, contactsInOrder, homePoint, said } from '../view/facts.ts';
import type { Stage } from '../view/field.ts';
import { Flags, subjectOf } from './alarm-row.tsx';
import { Tel } from './card-facts.tsx';
import { clockTime, nameOf, refusalText, useApp } from './context.tsx';
import { FieldActions } from './field-actions.tsx';
import type { FieldMemory } from './field-memory.tsx';
import { Age } from './feed-status.tsx';

interface FieldCaseProps {
  readonly alarm: AlarmView;
  readonly stage: Stage;
  readonly kept: KeptCase | null;
  readonly memory: FieldMemory;
  readonly offline: boolean;
}

export function FieldCase({ alarm, stage, kept, memory, offline }: FieldCaseProps) {
  const app = useApp();
  const { texts } = app;
  const card = kept?.card ?? null;
  const id = `case-${alarm.number}`;
  const waiting = memory.acts.filter((act) => act.number === alarm.number && act.refused === null);
  const home = card?.household ?? null;
  return (
    <article className="case" id={id} aria-labelledby={`${id}-title`} data-priority={alarm.priority} data-stage={stage}>
      <header className="case-band">
        <strong>{texts.priorities[alarm.priority]}</strong>
        <span>{texts.kinds[alarm.kind]}</span>
        <Age since={alarm.openedAt} />
      </header>
      <div className="case-body">
        <Heading level={2} data-size="sm" id={`${id}-title`}>
          {home?.name ?? subjectOf(app, alarm)}
        </Heading>
        <CaseAddress alarm={alarm} card={card} />
        <p className="case-stage">
          <Tag data-color={stage === 'asked' ? 'danger' : stage === 'going' || stage === 'on-site' ? 'info' : 'neutral'}>
            {texts.stages[stage]}
          </Tag>
          {stage === 'going' && alarm.etaAt !== null && waiting.length === 0 && <span>{texts.field.eta(clockTime(app, alarm.etaAt))}</span>}
          <Flags alarm={alarm} skip={['nobody-on-duty', 'ladder-exhausted', 'interrupted', 'warned']} />
        </p>
        {stage === 'taken' && alarm.responder !== null && <p className="case-note">{texts.field.takenBy(nameOf(app, alarm.responder))}</p>}
        {stage === 'reported' && waiting.length === 0 && <p className="case-note">{texts.field.reported}</p>}
        {stage === 'closed' && <p className="case-note">{texts.field.closed}</p>}
        {stage === 'left' && waiting.length === 0 && <p className="case-note">{texts.field.left}</p>}
        {waiting.map((act) => (
          <p key={act.key} className="case-queued" role="status">
            <strong>{actName(texts.field.actions, act)}</strong>{' '}
            {act.delayed ? texts.field.queuedAt(clockTime(app, act.doneAt)) : texts.app.sending}
          </p>
        ))}
        {refusedActs(memory.acts, alarm.number).map((act) => (
          <Refused key={act.key} act={act} alarm={alarm} memory={memory} />
        ))}
        <FieldActions alarm={alarm} stage={stage} onAct={(command) => memory.act(alarm, command)} />
        {card !== null && stage !== 'left' && <CaseFacts card={card} />}
        {offline && kept !== null && <p className="quiet">{texts.field.keptAt(clockTime(app, kept.keptAt))}</p>}
      </div>
    </article>
  );
}

const actName = (names: Readonly<Record<string, string>>, act: QueuedAct): string => names[act.command.command] ?? act.command.command;

function CaseAddress({ alarm, card }: { readonly alarm: AlarmView; readonly card: CardView | null }) {
  const { card: t } = useApp().texts;
  const home = card?.household ?? null;
  const point = alarm.position ?? homePoint(home);
  return (
    <p className="case-address">
      {addressOfHome(home) ?? alarm.household?.zone ?? ''}
      {point !== null && (
        <a className="case-map" href={`geo:${point.lat},${point.lon}`}>
          {t.openMap}
        </a>
      )}
    </p>
  );
}

function CaseFacts({ card }: { readonly card: CardView }) {
  const { card: t } = useApp().texts;
  const names: Readonly<Record<string, string>> = t.accessNames;
  const access = accessInOrder(card.household?.access ?? {}, Object.keys(names));
  return (
    <div className="case-facts">
      <dl className="facts" data-large="true">
        {access.map(([key, value]) => (
          <div key={key} className="fact" data-strong="true">
            <dt>{names[key] ?? key}</dt>
            <dd>{value}</dd>
          </div>
        ))}
        {card.household !== null && access.length === 0 && (
          <div className="fact">
            <dt>{t.access}</dt>
            <dd>{t.noAccess}</dd>
          </div>
        )}
        {said(card.household?.notes) !== null && (
          <div className="fact">
            <dt>{t.notes}</dt>
            <dd>{card.household?.notes}</dd>
          </div>
        )}
        {card.trigger !== null && (
          <div className="fact">
            <dt>{t.trigger}</dt>
            <dd>{[card.trigger.name ?? card.trigger.id, card.trigger.room].filter((part) => said(part) !== null).join(', ')}</dd>
          </div>
        )}
      </dl>
      {card.residents.map((resident) => (
        <div key={resident.id} className="case-resident">
          <p>
            <strong>{resident.name}</strong>
            {resident.age !== null && <span> {t.age(resident.age)}</span>}
          </p>
          <dl className="facts" data-large="true">
            {(
              [
                [t.away, resident.away],
                [t.hearing, resident.hearing],
                [t.language, resident.language],
                [t.health, resident.health],
                [t.notes, resident.notes],
              ] as const
            ).map(
              ([name, value]) =>
                said(value) !== null && (
                  <div key={name} className="fact">
                    <dt>{name}</dt>
                    <dd>{value}</dd>
                  </div>
                ),
            )}
          </dl>
          {said(resident.phone) !== null && <Tel number={resident.phone ?? ''} label={resident.name} />}
        </div>
      ))}
      {card.contacts.length > 0 && (
        <ul className="case-contacts" aria-label={t.contacts}>
          {contactsInOrder(card.contacts).map((contact) => (
            <li key={`${contact.rank} ${contact.name}`}>
              <span>
                {contact.name}
                {said(contact.relation) !== null && <span className="quiet"> {contact.relation}</span>}
                {contact.hasKey && <span className="has-key"> · {t.hasKey}</span>}
              </span>
              {said(contact.phone) !== null && <Tel number={contact.phone ?? ''} label={contact.name} />}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

interface RefusedProps {
  readonly act: QueuedAct;
  readonly alarm: AlarmView;
  readonly memory: FieldMemory;
}

/** The centre said no to what was done out here: who and why, and what was written is not lost. */
function Refused({ act, alarm, memory }: RefusedProps) {
  const app = useApp();
  const { texts } = app;
  if (act.refused === null) return null;
  const text = textToSave(act, texts.outcomes);
  const problem = { status: 409, code: act.refused.code, detail: '', ...(act.refused.by === null ? {} : { by: act.refused.by }) };
  return (
    <div className="case-refused" role="alert">
      <p>
        <strong>
          {actName(texts.field.actions, act)}: {texts.field.refusedTitle}.
        </strong>{' '}
        {refusalText(app, problem)}
      </p>
      <div className="case-buttons">
        {text !== null && (
          <button
            type="button"
            className="big"
            onClick={() => {
              memory.dismiss(act.key);
              memory.act(alarm, { command: 'note', text });
            }}
          >
            {texts.field.saveAsNote}
          </button>
        )}
        <button type="button" className="big" data-quiet="true" onClick={() => memory.dismiss(act.key)}>
          {texts.field.understood}
        </button>
      </div>
    </div>
  );
}
