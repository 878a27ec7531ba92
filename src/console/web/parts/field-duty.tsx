/** On duty or not: who is asked depends on it, so it stands on top of the phone page. */
import { Button } from '@digdir/designsystemet-react';
import { useEffect, useState } from 'react';
import type { Duty, DutyCommand } from '../contract.ts';
import { clockTime, refusalText, useApp } from './context.tsx';
import type { FieldMemory } from './field-memory.tsx';

/** The plan of duty may change it without us: asked for again so often. */
const ASK_EVERY_MS = 60_000;

export function FieldDuty({ memory, offline }: { readonly memory: FieldMemory; readonly offline: boolean }) {
  const app = useApp();
  const { texts, api, clock } = app;
  const { duty, setDuty } = memory;
  const [choosing, setChoosing] = useState(false);
  const [pending, setPending] = useState(false);
  const [failed, setFailed] = useState('');

  useEffect(() => {
    const read = (): void => void api.get<Duty>('/api/v1/duty').then((answer) => answer.ok && setDuty(answer.value));
    read();
    const timer = clock.every(ASK_EVERY_MS, read);
    return () => timer.cancel();
  }, [api, clock, setDuty, offline]);

  async function order(command: DutyCommand): Promise<void> {
    setPending(true);
    setFailed('');
    const answer = await api.post<unknown>('/api/v1/duty', command);
    const now = await api.get<Duty>('/api/v1/duty');
    setPending(false);
    if (now.ok) setDuty(now.value);
    if (answer.ok) setChoosing(false);
    else setFailed(refusalText(app, answer.problem));
  }

  const me = duty?.me ?? null;
  const on = me?.onDuty === true;
  const team = duty?.teams.find(({ id }) => id === me?.team)?.name ?? me?.team ?? '';
  return (
    <section className="field-duty" data-on={on} aria-label={texts.field.duty}>
      <div className="field-duty-row">
        <p>
          <span className="dot" aria-hidden="true" />
          <strong>{on ? texts.field.onDuty(team) : texts.field.offDuty}</strong>
          {on && me.until !== null && <span className="quiet"> {texts.field.until(clockTime(app, me.until))}</span>}
        </p>
        <Button
          variant={on ? 'secondary' : 'primary'}
          data-color={on ? 'neutral' : 'accent'}
          loading={pending}
          aria-disabled={offline}
          aria-expanded={on ? undefined : choosing}
          onClick={() => {
            if (offline || pending) return;
            if (on) void order({ command: 'off' });
            else setChoosing((shown) => !shown);
          }}
        >
          {on ? texts.field.goOff : texts.field.goOn}
        </Button>
      </div>
      {choosing && !on && (
        <div className="field-choose">
          <p>{texts.field.chooseTeam}</p>
          {(duty?.teams ?? []).map(({ id, name }) => (
            <Button key={id} variant="secondary" onClick={() => void order({ command: 'on', team: id })}>
              {name}
            </Button>
          ))}
        </div>
      )}
      <p className="field-error" role="alert">
        {failed}
      </p>
    </section>
  );
}
