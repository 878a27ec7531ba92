/** The canary: presses over each protocol every minute, has the alarm handled, and says how it went (ADR 17). */
import { createHash } from 'node:crypto';
import { CANARY_PROTOCOLS, type CanaryProtocol } from '../alarms/canary.ts';
import { type Clock, type Instant, type Milliseconds, minutes, seconds, toIso } from '../base/clock.ts';
import { CentreError } from '../base/errors.ts';
import { type Random, secret } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import { type CanaryStep, Course, whyOf } from './canary-course.ts';
import { type RoundPlan, type RoundResult, playRound } from './canary-round.ts';
import type { CanaryStore } from './canary-store.ts';
import type { DeadMan } from './dead-man.ts';
import type { WatchReports } from './report.ts';

/** Where the nodes of the centre can be reached now. */
export interface CanaryNodes {
  /** `host:port` by protocol. */
  readonly intakes: Readonly<Record<CanaryProtocol, readonly string[]>>;
  /** `http://…` or `https://…`. */
  readonly consoles: readonly string[];
}

export interface CanaryParts {
  readonly store: CanaryStore;
  readonly reports: WatchReports;
  /** @throws CentreError store-away */
  readonly nodes: () => Promise<CanaryNodes>;
  /** Null: no outside monitor is called. */
  readonly deadMan: DeadMan | null;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** From one round of a protocol to the next; 60 s by default. */
  readonly every?: Milliseconds;
  /** How long a round may take; 10 s by default. */
  readonly within?: Milliseconds;
}

export interface Canary {
  /** A round over every protocol now, whether it is due or not; never rejects. */
  round(): Promise<readonly RoundResult[]>;
  /** Ends what is under way and leaves; never rejects. */
  stop(): Promise<void>;
}

const KEPT: Milliseconds = minutes(24 * 60);
/** A report that is older than so many periods says nothing any more. */
const STALE_AFTER = 3;
const LOOKS_A_PERIOD = 12;
/** The auditor reports each second; the same age is said on /readyz. */
const AUDITED_WITHIN: Milliseconds = seconds(10);
/** Sessions and rows are looked after again so often, and after each round that failed. */
const SET_UP_EVERY: Milliseconds = minutes(60);
/** After its start a centre's other processes may still be starting. */
const GRACE: Milliseconds = seconds(20);

const digestOf = (token: string): Uint8Array => createHash('sha256').update(token).digest();

/** Begins at once. Several may run, also on several machines: each round is done by one of them. */
export function startCanary({
  store,
  reports,
  nodes,
  deadMan,
  clock,
  random,
  log,
  every = minutes(1),
  within = seconds(10),
}: CanaryParts): Canary {
  const tokens = { operator: secret(random, 256), responder: secret(random, 256) };
  const digests = { operator: digestOf(tokens.operator), responder: digestOf(tokens.responder) };
  const secrets = { mqtt: secret(random, 192), scaip: secret(random, 192) };
  const courses = new Set<Course>();
  const startedAt = clock.monotonic();
  const broken = new Set<CanaryProtocol>();
  let setUpAt: Milliseconds | null = null;
  let away = false;
  let stopped = false;
  let busy: Promise<unknown> | null = null;

  const timer = clock.every(Math.max(100, every / LOOKS_A_PERIOD), look);
  look();
  return {
    async round() {
      while (busy !== null) await busy;
      if (stopped) return [];
      const rounds = roundsOf(true);
      busy = rounds.finally(() => (busy = null));
      return rounds;
    },
    async stop() {
      stopped = true;
      timer.cancel();
      for (const course of courses) course.end('stopped');
      deadMan?.stop();
      await busy;
      await store.leave(digests).catch((error: unknown) => log.debug('canary-not-left', { error }));
    },
  };

  function look(): void {
    if (busy !== null || stopped) return;
    busy = roundsOf(false).finally(() => (busy = null));
  }

  async function roundsOf(now: boolean): Promise<RoundResult[]> {
    try {
      await setUp();
      const found = await nodes();
      // What has not come up yet is not told as a fault.
      const starting = clock.monotonic() - startedAt < GRACE && (found.consoles.length === 0 || found.intakes.mqtt.length === 0);
      if (starting && !now) return [];
      const settled = await Promise.allSettled(CANARY_PROTOCOLS.map((protocol) => roundOver(protocol, found, now)));
      const results = settled.flatMap((one) => (one.status === 'fulfilled' ? one.value : []));
      const fault = settled.find((one) => one.status === 'rejected');
      if (fault !== undefined) throw fault.reason;
      if (results.length > 0 && !stopped) await afterwards(results, found);
      if (away) log.info('canary-store-back');
      away = false;
      return results;
    } catch (error) {
      if (!away && !stopped) log.error('canary-failed', { step: 'store', code: whyOf(error), error });
      away = true;
      setUpAt = null;
      const results = CANARY_PROTOCOLS.map((protocol) =>
        resultOf(protocol, null, { step: 'store', why: whyOf(error), tookMs: 0, steps: {} }),
      );
      // Where the store is away, the report grows old, which says the same.
      const isAway = error instanceof CentreError && error.kind === 'store';
      if (isAway || stopped) return results;
      await Promise.all(results.map((result) => reported(result, null))).catch((fault: unknown) =>
        log.debug('canary-not-told', { error: fault }),
      );
      return results;
    }
  }

  async function setUp(): Promise<void> {
    if (setUpAt !== null && clock.monotonic() - setUpAt < SET_UP_EVERY) return;
    await store.setUp({ at: clock.now(), tokens: digests, secrets });
    setUpAt = clock.monotonic();
  }

  async function roundOver(protocol: CanaryProtocol, { intakes, consoles }: CanaryNodes, now: boolean): Promise<RoundResult[]> {
    const at = clock.now();
    const turn = await store.claim(protocol, now ? at + KEPT : at, at + every);
    if (turn === null || stopped) return [];
    const among = (all: readonly string[], place: number): string | undefined => all[place % Math.max(1, all.length)];
    const intake = among(intakes[protocol], turn.turn);
    const operatorAt = among(consoles, turn.turn);
    const responderAt = among(consoles, turn.turn + 1);
    if (intake === undefined || operatorAt === undefined || responderAt === undefined) {
      const why = intake === undefined ? 'no-intake' : 'no-console';
      return [await told(resultOf(protocol, null, { step: 'nodes', why, tookMs: 0, steps: {} }))];
    }
    const plan: RoundPlan = { protocol, intake, operatorAt, responderAt, secret: turn.secret, tokens };
    const course = new Course(clock, within);
    courses.add(course);
    let failure: { step: CanaryStep; why: string } | null = null;
    try {
      await playRound(plan, course, { clock, random });
    } catch (error) {
      failure = { step: course.step ?? 'console', why: whyOf(error) };
    } finally {
      course.end('over');
      courses.delete(course);
    }
    const result = resultOf(protocol, plan, {
      ...(failure ?? { step: null, why: null }),
      tookMs: course.tookInAllMs,
      steps: course.tookMs,
    });
    return stopped ? [] : [await told(result)];
  }

  /** One line for each round that failed, and one when it goes well again. */
  async function told(result: RoundResult): Promise<RoundResult> {
    const { protocol, fine, step, why, tookMs, intake, operatorAt } = result;
    const about = { protocol, tookMs, ...(intake === null ? {} : { source: intake }), ...(operatorAt === null ? {} : { url: operatorAt }) };
    if (!fine) log.error('canary-failed', { ...about, step: step ?? '', code: why ?? '' });
    else if (broken.has(protocol)) log.info('canary-fine-again', about);
    else log.debug('canary-fine', about);
    if (fine) broken.delete(protocol);
    else broken.add(protocol);
    // Something of what it needs may have been taken from it.
    if (!fine) setUpAt = null;
    await store.ended(protocol, clock.now(), fine);
    await reported(result, (await store.standing()).get(protocol)?.fineAt ?? null);
    return result;
  }

  async function reported({ protocol, fine, ...detail }: RoundResult, fineAt: Instant | null): Promise<void> {
    const written = { ...detail, fineAt: fineAt === null ? null : toIso(fineAt) };
    await reports.write({ name: `canary-${protocol}`, at: clock.now(), fine, detail: written });
  }

  async function afterwards(results: readonly RoundResult[], found: CanaryNodes): Promise<void> {
    await store.forget(clock.now() - KEPT);
    if (deadMan === null || results.some(({ fine }) => !fine)) return;
    if (await allIsWell(found)) await deadMan.call();
  }

  /**
   * Whatever the watch looks at: this round's protocols, those that another watch pressed over, and the auditor, which must have
   * looked just now: what it found before it fell silent says nothing. Of several nodes each has had its turn since something
   * last failed.
   */
  async function allIsWell({ intakes, consoles }: CanaryNodes): Promise<boolean> {
    const [standing, rows] = [await store.standing(), await reports.read()];
    const now = clock.now();
    const since = now - STALE_AFTER * every;
    const isAudited = rows.some(({ name, at }) => name === 'audit' && Math.abs(now - at) <= AUDITED_WITHIN);
    const isWell = (protocol: CanaryProtocol): boolean => {
      const { fineAt = null, inRow = 0 } = standing.get(protocol) ?? {};
      return fineAt !== null && fineAt >= since && inRow >= Math.max(intakes[protocol].length, consoles.length);
    };
    return isAudited && rows.every(({ fine }) => fine) && CANARY_PROTOCOLS.every(isWell);
  }
}

type Ending = Pick<RoundResult, 'step' | 'why' | 'tookMs' | 'steps'>;

function resultOf(protocol: CanaryProtocol, plan: RoundPlan | null, ending: Ending): RoundResult {
  const { intake = null, operatorAt = null, responderAt = null } = plan ?? {};
  return { protocol, fine: ending.step === null, ...ending, intake, operatorAt, responderAt };
}
