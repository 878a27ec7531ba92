/** The responder's phone page: dark, one hand, large targets; works on what is kept when there is no network. */
import { Button, Heading } from '@digdir/designsystemet-react';
import { useEffect, useMemo, useSyncExternalStore } from 'react';
import type { AlarmView } from '../../../alarms/view.ts';
import { waitingActs } from '../view/acts.ts';
import { spanText } from '../view/ages.ts';
import { telOf } from '../view/facts.ts';
import { type Stage, casesInOrder, stageNow } from '../view/field.ts';
import { soundFor } from '../view/sounds.ts';
import { useApp, useFeed } from './context.tsx';
import { FieldCase } from './field-case.tsx';
import { FieldDuty } from './field-duty.tsx';
import { useFieldMemory } from './field-memory.tsx';
import { useFreshness } from './feed-status.tsx';

export function Field({ opened }: { readonly opened: string | null }) {
  const app = useApp();
  const { texts, session, centre, tones, signOut } = app;
  const feed = useFeed();
  const memory = useFieldMemory();
  const { fresh, lost, silentFor } = useFreshness();
  const offline = lost ? fresh !== 'live' : fresh === 'stale';
  const cases = useMemo(() => {
    const known = new Map(memory.cases.map((kept) => [kept.alarm.number, kept]));
    const alarms = new Map<string, AlarmView>(memory.cases.map((kept) => [kept.alarm.number, kept.alarm]));
    for (const alarm of feed.open.values()) alarms.set(alarm.number, alarm);
    return casesInOrder(alarms.values(), session.account, memory.acts)
      .map(({ alarm, stage }) => ({ alarm, stage: stageNow(alarm, stage, feed), kept: known.get(alarm.number) ?? null }))
      .filter(({ alarm, stage }) => shown(stage, alarm.number, opened) || memory.acts.some((act) => act.number === alarm.number));
  }, [memory.cases, memory.acts, feed, session.account, opened]);

  const sound = useSyncExternalStore(tones.subscribe, tones.sound);
  const asking = soundFor(cases.filter(({ stage }) => stage === 'asked').map(({ alarm }) => alarm.priority));
  useEffect(() => tones.play(asking), [tones, asking]);
  useEffect(() => () => tones.play(null), [tones]);
  useEffect(() => {
    if (opened !== null) document.getElementById(`case-${opened}`)?.scrollIntoView({ block: 'start' });
  }, [opened]);

  const waiting = waitingActs(memory.acts);
  const phone = centre?.phone ?? '';
  return (
    <div className="field">
      <Heading level={1} className="visually-hidden">
        {texts.field.title}
      </Heading>
      <FieldDuty memory={memory} offline={offline} />
      <div aria-live="polite">
        {offline && <p className="field-offline">{lost ? texts.field.offline : texts.app.stale(spanText(silentFor))}</p>}
        {waiting > 0 && <p className="field-queued">{texts.field.queued(waiting)}</p>}
      </div>
      {sound === 'muted' && (
        <Button className="field-sound" data-color="danger" onClick={() => void tones.wake()}>
          {texts.field.allowSound}
        </Button>
      )}
      <section className="cases" aria-label={texts.field.cases}>
        {cases.length === 0 && (
          <div className="field-empty">
            <p className="field-empty-title">{texts.field.none}</p>
            <p>{memory.duty?.me?.onDuty === true ? texts.field.noneOn : texts.field.noneOff}</p>
          </div>
        )}
        {cases.map(({ alarm, stage, kept }) => (
          <FieldCase key={alarm.number} alarm={alarm} stage={stage} kept={kept} memory={memory} offline={offline} />
        ))}
      </section>
      <div className="field-end">
        <Button
          variant="tertiary"
          data-color="neutral"
          onClick={() => {
            if (waiting === 0 || confirm(texts.field.signOutQueued)) signOut();
          }}
        >
          {texts.app.signOut}
        </Button>
      </div>
      <nav className="field-calls" aria-label={texts.field.calls}>
        <a className="call" href={phone === '' ? undefined : telOf(phone)} aria-disabled={phone === ''}>
          {phone === '' ? texts.field.noNumber : texts.field.callCentre}
        </a>
        <a className="call" data-kind="113" href="tel:113">
          {texts.field.call113}
        </a>
      </nav>
    </div>
  );
}

/** What is over is shown only when somebody came for it by its link. */
const shown = (stage: Stage, number: string, opened: string | null): boolean =>
  (stage !== 'closed' && stage !== 'left') || number === opened;
