/** The card of a provisional alarm: what the unit sent, who it is as far as intake knows, and the one thing that can be done. */
import { Alert, Button, Heading, Tag } from '@digdir/designsystemet-react';
import { type RefObject, useCallback, useEffect, useRef, useState } from 'react';
import type { AlarmView } from '../../../alarms/view.ts';
import type { ShownProvisional } from '../../direct.ts';
import { type AlarmWithTimeline, type Problem, type StillProvisional, isProvisionalAnswer } from '../contract.ts';
import { alarmPath } from '../net/http.ts';
import { instantOf, timeOfDay } from '../view/ages.ts';
import { KEYS_OF } from '../view/commands.ts';
import { said } from '../view/facts.ts';
import { addressOf } from '../view/places.ts';
import { claimOffer } from '../view/provisional.ts';
import type { CardKeys } from './alarm-card.tsx';
import { subjectOf } from './alarm-row.tsx';
import { Box, Fact, Tel } from './card-facts.tsx';
import { Failed } from './card-failed.tsx';
import { nameOf, randomKey, refusalText, useApp, useFeed, useLoaded } from './context.tsx';
import { Age } from './feed-status.tsx';
import { ProvisionalTags, holderText } from './provisional-row.tsx';

interface ProvisionalCardProps {
  readonly number: string;
  readonly keys: RefObject<CardKeys | null>;
}

export function ProvisionalCard({ number, keys }: ProvisionalCardProps) {
  const { texts, go, live } = useApp();
  const { provisional } = useFeed();
  const held = provisional.alarms.get(number) ?? null;
  const became = provisional.became.get(number);
  const last = useRef<ShownProvisional | null>(null);
  if (held !== null) last.current = held;
  // Not on the board: it was replayed before this page was opened, or it is none of this account's.
  const asked = held === null && became === undefined;
  const read = useLoaded<AlarmWithTimeline | StillProvisional>(asked ? alarmPath(number) : null, provisional.returns);
  const found = asked ? read.value : null;
  useEffect(() => {
    if (found === null) return;
    if (isProvisionalAnswer(found)) live.takeProvisional(found.provisional);
    else go(addressOf({ screen: 'board', alarm: found.number }));
  }, [found, go, live]);

  const shown = held ?? (became === null ? last.current : null);
  if (shown !== null) return <OpenProvisional alarm={shown} done={held === null} keys={keys} />;
  const failed = read.state === 'failed' && asked;
  return (
    <section className="card" aria-labelledby="card-title" aria-busy={!failed}>
      <Heading level={2} data-size="xs" id="card-title">
        {texts.provisional.title(number)}
      </Heading>
      {failed ? <Failed status={read.problem?.status ?? null} again={read.again} /> : <p className="waiting">{texts.app.loading}</p>}
    </section>
  );
}

type ClaimState = { readonly state: 'idle' | 'pending' } | { readonly state: 'refused'; readonly problem: Problem | null };

/** Claims it; when it has just become an alarm, the centre takes the claim as one of that, and the card follows. */
function useClaim(number: string): { claim: ClaimState; give: () => Promise<void>; clear: () => void } {
  const { api, live, go } = useApp();
  const [claim, setClaim] = useState<ClaimState>({ state: 'idle' });
  const busy = useRef(false);
  const give = useCallback(async () => {
    if (busy.current) return;
    busy.current = true;
    setClaim({ state: 'pending' });
    const body = { command: 'claim', key: randomKey() };
    const post = () => api.post<StillProvisional | AlarmView>(alarmPath(number, '/commands'), body);
    let answer = await post();
    // Without an answer nobody knows: the same key again does nothing twice.
    if (!answer.ok && answer.problem === null) answer = await post();
    busy.current = false;
    if (!answer.ok) return setClaim({ state: 'refused', problem: answer.problem });
    setClaim({ state: 'idle' });
    if (isProvisionalAnswer(answer.value)) return live.takeProvisional(answer.value.provisional);
    live.take(answer.value);
    go(addressOf({ screen: 'board', alarm: answer.value.number }));
  }, [api, go, live, number]);
  const clear = useCallback(() => setClaim((now) => (now.state === 'refused' ? { state: 'idle' } : now)), []);
  return { claim, give, clear };
}

interface OpenProps {
  readonly alarm: ShownProvisional;
  /** It is in the database, and became no alarm. */
  readonly done: boolean;
  readonly keys: RefObject<CardKeys | null>;
}

function OpenProvisional({ alarm, done, keys }: OpenProps) {
  const app = useApp();
  const { texts, session } = app;
  const t = texts.provisional;
  const { claim, give, clear } = useClaim(alarm.number);
  const [told, setTold] = useState<string | null>(null);
  const heading = useRef<HTMLHeadingElement>(null);
  const offer = claimOffer(alarm, session.account);
  const barred =
    offer.can || offer.why === 'mine' ? null : offer.why === 'lost' ? t.lostHelp : `${texts.board.takenBy(nameOf(app, offer.by))}.`;
  useEffect(() => heading.current?.focus({ preventScroll: true }), []);
  useEffect(() => {
    keys.current = {
      press: (command) => {
        clear();
        if (done) return;
        if (command !== 'claim') return setTold(t.onlyClaim);
        setTold(barred);
        if (offer.can) void give();
      },
      back: () => {
        const open = told !== null || claim.state === 'refused';
        setTold(null);
        clear();
        return open;
      },
    };
    return () => {
      keys.current = null;
    };
  });
  const at = instantOf(alarm.receivedAt);
  const voice = said(alarm.voice);
  return (
    <section className="card" aria-labelledby="card-title" data-priority={alarm.priority} data-provisional="true">
      <header className="card-band">
        <span className="card-priority">{texts.priorities[alarm.priority]}</span>
        <strong>{texts.kinds[alarm.kind]}</strong>
        <ProvisionalTags alarm={alarm} />
        <span className="card-number">{t.title(alarm.number)}</span>
        <span className="card-age">
          <Age since={alarm.receivedAt} label={texts.board.age} />
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
            {subjectOf(app, alarm)}
          </Heading>
        </div>
        <p className="card-state">
          <Tag data-color={done ? 'neutral' : alarm.claimedBy === null ? 'danger' : 'info'}>
            {done ? t.becameNone : holderText(app, alarm)}
          </Tag>
        </p>
        {alarm.lost && !done && (
          <Alert data-color="danger" data-size="sm">
            {t.lostHelp}
          </Alert>
        )}
        {!done && (
          <Alert data-color="warning" data-size="sm">
            {alarm.claimedBy === session.account ? t.mineHelp : t.help}
          </Alert>
        )}
      </div>
      {!done && alarm.claimedBy !== session.account && (
        <div className="command-bar" role="group" aria-label={texts.app.commands}>
          <Button
            variant={offer.can ? 'primary' : 'secondary'}
            data-color={offer.can ? 'accent' : 'neutral'}
            data-size="sm"
            data-command="claim"
            loading={claim.state === 'pending'}
            aria-disabled={!offer.can}
            aria-keyshortcuts={KEYS_OF.claim}
            onClick={() => keys.current?.press('claim')}
          >
            {claim.state === 'pending' ? texts.app.sending : texts.commands.claim}
            <kbd aria-hidden="true">{KEYS_OF.claim.toUpperCase()}</kbd>
          </Button>
          {barred !== null && !alarm.lost && <p className="barred">{barred}</p>}
        </div>
      )}
      <div aria-live="assertive">
        {claim.state === 'refused' && (
          <Alert data-color="danger" data-size="sm" className="refusal">
            <strong>{t.notTaken}</strong> {claim.problem === null ? t.claimUnanswered : refusalText(app, claim.problem, 'claim')}
          </Alert>
        )}
        {told !== null && claim.state !== 'refused' && (
          <Alert data-color="warning" data-size="sm" className="refusal">
            {told}
          </Alert>
        )}
      </div>
      <div className="card-columns">
        <div className="card-main">
          <Box title={t.facts} id="card-provisional">
            <dl className="facts">
              <Fact name={texts.card.deviceText} strong>
                {said(alarm.text)}
              </Fact>
              <Fact name={texts.card.voice} strong>
                {voice === null ? null : /^\+?[\d ]{5,}$/.test(voice) ? <Tel number={voice} label={texts.card.voice} /> : voice}
              </Fact>
              <Fact name={t.received}>{at === null ? alarm.receivedAt : timeOfDay(at)}</Fact>
              <Fact name={texts.card.zone}>{said(alarm.household?.zone)}</Fact>
              <Fact name={texts.card.device}>{said(alarm.device)}</Fact>
              <Fact name={texts.card.trigger}>{said(alarm.trigger) ?? texts.card.triggerUnit}</Fact>
              <Fact name={t.municipality}>{said(alarm.municipality)}</Fact>
            </dl>
          </Box>
        </div>
      </div>
    </section>
  );
}
