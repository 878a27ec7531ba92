/** Alive, fit to serve, and measured: what monitoring and load balancers ask. */
import { type Clock, type Milliseconds, seconds } from '../base/clock.ts';
import type { Registry } from 'prom-client';
import { ALIVE, READINESS, type Readiness } from './api-schema.ts';
import { type Route, json, openRoute } from './route.ts';

export interface HealthCheck {
  /** `database`, `redis`, `mqtt`, `sip`, `feed`, `sweep` … */
  readonly name: string;
  /** False: reported, but the centre serves without it (Redis, design § 1.8). */
  readonly needed: boolean;
  /** Null: fit. Else why not, in one sentence. May also throw. */
  check(): Promise<string | null | Fitness>;
}

/** What a check answers that has more to tell. */
export interface Fitness {
  readonly reason: string | null;
  /** Since what it looks for last went well, in whole seconds; null: never. */
  readonly ageSeconds: number | null;
}

export interface HealthParts {
  readonly checks: readonly HealthCheck[];
  readonly registry: Registry;
  readonly clock: Clock;
}

const PATIENCE: Milliseconds = seconds(2);
/** For a part that did not answer in time and has not since: load balancers wait a second for all of it. */
const BRIEF: Milliseconds = 300;
const silent = new WeakSet<HealthCheck>();

export function healthRoutes({ checks, registry, clock }: HealthParts): Route[] {
  return [
    openRoute({
      method: 'GET',
      path: '/healthz',
      summary: 'The process is alive and answers.',
      ok: { status: 200, schema: ALIVE },
      handle: () => Promise.resolve(json({ alive: true })),
    }),
    openRoute({
      method: 'GET',
      path: '/readyz',
      summary:
        'Fit to serve (200) or not (503), with a reason per component; of the canary also the age of its last good round in seconds.',
      ok: { status: 200, schema: READINESS },
      async handle() {
        const readiness = await readinessOf(checks, clock);
        return { ...json(readiness), status: readiness.ready ? 200 : 503 };
      },
    }),
    openRoute({
      method: 'GET',
      path: '/metrics',
      summary: 'Measurements for Prometheus.',
      ok: { status: 200, schema: null, type: 'text/plain' },
      async handle() {
        return { status: 200, body: await registry.metrics(), type: registry.contentType };
      },
    }),
  ];
}

/** Asks all parts at once; one that does not answer in time is not fit. */
export async function readinessOf(checks: readonly HealthCheck[], clock: Clock): Promise<Readiness> {
  const answers = await Promise.all(checks.map((one) => patiently(one, clock)));
  const components = Object.fromEntries(
    checks.map(({ name }, index): [string, Readiness['components'][string]] => {
      const { reason, ageSeconds } = answers[index] ?? FIT;
      const age = ageSeconds === null ? {} : { ageSeconds };
      return [name, reason === null ? { ok: true, ...age } : { ok: false, reason, ...age }];
    }),
  );
  return { ready: checks.every(({ needed }, index) => !needed || answers[index]?.reason === null), components };
}

const FIT: Fitness = { reason: null, ageSeconds: null };

function patiently(one: HealthCheck, clock: Clock): Promise<Fitness> {
  return new Promise((resolve) => {
    const timer = clock.after(silent.has(one) ? BRIEF : PATIENCE, () => {
      silent.add(one);
      resolve({ ...FIT, reason: 'There was no answer within 2 s.' });
    });
    const settle = (answer: string | null | Fitness): void => {
      timer.cancel();
      const fitness = typeof answer === 'string' || answer === null ? { ...FIT, reason: answer } : answer;
      if (fitness.reason === null) silent.delete(one);
      resolve(fitness);
    };
    one.check().then(settle, () => settle('The check failed.'));
  });
}
