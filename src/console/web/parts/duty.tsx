/** Who is on duty, team by team; nobody on duty stands out, and a supervisor can set it right. */
import { Alert, Button, Heading, Paragraph, Textfield } from '@digdir/designsystemet-react';
import { type FormEvent, useCallback, useEffect, useState } from 'react';
import type { Duty, DutyCommand, DutyTeam } from '../contract.ts';
import { clockTime, refusalText, useApp, useFeed, useLoaded } from './context.tsx';

/** The plan changes by itself: read again so often. */
const READ_EVERY_MS = 15_000;

export function DutyPage() {
  const app = useApp();
  const { texts, api, clock, learn, session } = app;
  const { duty: t } = texts;
  const [turn, setTurn] = useState(0);
  const [told, setTold] = useState<{ ok: boolean; text: string } | null>(null);
  const [pending, setPending] = useState(false);
  const { connected } = useFeed();
  const read = useLoaded<Duty>('/api/v1/duty', `${turn} ${connected}`);
  useEffect(() => {
    const timer = clock.every(READ_EVERY_MS, () => setTurn((n) => n + 1));
    return () => timer.cancel();
  }, [clock]);
  useEffect(() => {
    if (read.value !== null) learn(read.value);
  }, [learn, read.value]);
  const order = useCallback(
    async (command: DutyCommand): Promise<void> => {
      setPending(true);
      setTold(null);
      const answer = await api.post<Duty>('/api/v1/duty', command);
      setPending(false);
      setTurn((n) => n + 1);
      setTold(
        answer.ok
          ? { ok: answer.value.warning === undefined, text: answer.value.warning === undefined ? t.done : t.lastOne }
          : { ok: false, text: refusalText(app, answer.problem) },
      );
    },
    [api, app, t],
  );

  const supervisor = session.roles.includes('supervisor');
  const teams = read.value?.teams ?? [];
  const gaps = teams.filter((team) => team.onDuty.length === 0).length;
  return (
    <div className="page">
      <Heading level={1} data-size="sm">
        {t.title}
      </Heading>
      {!supervisor && <Paragraph>{t.notResponder}</Paragraph>}
      {read.state === 'failed' && <Alert data-color="warning">{texts.app.failed}</Alert>}
      {read.value === null && read.state === 'loading' && <p className="waiting">{texts.app.loading}</p>}
      {read.value !== null && teams.length === 0 && <Alert data-color="warning">{t.noTeams}</Alert>}
      {teams.length > 0 && <Alert data-color={gaps > 0 ? 'danger' : 'success'}>{gaps > 0 ? t.gaps(gaps) : t.covered}</Alert>}
      <div aria-live="polite">{told !== null && <Alert data-color={told.ok ? 'success' : 'danger'}>{told.text}</Alert>}</div>
      <ul className="teams">
        {teams.map((team) => (
          <li key={team.id}>
            <Team team={team} supervisor={supervisor} pending={pending} onOrder={(command) => void order(command)} />
          </li>
        ))}
      </ul>
    </div>
  );
}

interface TeamProps {
  readonly team: DutyTeam;
  readonly supervisor: boolean;
  readonly pending: boolean;
  readonly onOrder: (command: DutyCommand) => void;
}

function Team({ team, supervisor, pending, onOrder }: TeamProps) {
  const app = useApp();
  const { texts, session } = app;
  const { duty: t } = texts;
  const [adding, setAdding] = useState(false);
  const [account, setAccount] = useState('');
  const meOn = team.onDuty.some((person) => person.account === session.account);
  function add(event: FormEvent): void {
    event.preventDefault();
    if (account.trim() === '' || pending) return;
    onOrder({ command: 'on', team: team.id, account: account.trim() });
    setAdding(false);
    setAccount('');
  }
  return (
    <section className="team" data-empty={team.onDuty.length === 0} aria-labelledby={`team-${team.id}`}>
      <Heading level={2} data-size="2xs" id={`team-${team.id}`}>
        {team.name}
      </Heading>
      {team.onDuty.length === 0 && (
        <p className="nobody">
          <strong>{t.nobody}</strong> <span>{t.nobodyHelp}</span>
        </p>
      )}
      <ul className="people">
        {team.onDuty.map((person) => (
          <li key={person.account}>
            <span>
              <strong>{person.name}</strong>{' '}
              <span className="quiet">
                {person.since === null ? '' : t.since(clockTime(app, person.since))}{' '}
                {person.until === null ? '' : t.until(clockTime(app, person.until))}
              </span>
            </span>
            {supervisor && (
              <span className="people-do">
                {!meOn && (
                  <Button
                    variant="secondary"
                    data-size="sm"
                    aria-disabled={pending}
                    aria-label={`${t.takeOver}: ${person.name}`}
                    onClick={() => !pending && onOrder({ command: 'take-over', team: team.id, from: person.account })}
                  >
                    {t.takeOver}
                  </Button>
                )}
                <Button
                  variant="tertiary"
                  data-size="sm"
                  data-color="neutral"
                  aria-disabled={pending}
                  aria-label={`${t.end}: ${person.name}`}
                  onClick={() => !pending && onOrder({ command: 'off', team: team.id, account: person.account })}
                >
                  {t.end}
                </Button>
              </span>
            )}
          </li>
        ))}
      </ul>
      {supervisor && (
        <div className="team-do">
          {!meOn && (
            <Button
              variant="secondary"
              data-size="sm"
              aria-disabled={pending}
              onClick={() => !pending && onOrder({ command: 'on', team: team.id })}
            >
              {t.putMeOn}
            </Button>
          )}
          <Button variant="tertiary" data-size="sm" aria-expanded={adding} onClick={() => setAdding((shown) => !shown)}>
            {t.putOn}
          </Button>
        </div>
      )}
      {adding && (
        <form className="panel-form" onSubmit={add}>
          <Textfield
            label={t.account}
            value={account}
            onChange={(event) => setAccount(event.target.value)}
            autoCapitalize="none"
            data-size="sm"
          />
          <Button type="submit" data-size="sm" loading={pending}>
            {t.putOn}
          </Button>
        </form>
      )}
    </section>
  );
}
