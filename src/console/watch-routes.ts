/** The route about the centre's watch on itself: how the canary's last rounds went, for the line at the foot of a screen. */
import { z } from 'zod';
import { CANARY_PROTOCOLS } from '../alarms/canary.ts';
import { type Clock, type Instant, toIso } from '../base/clock.ts';
import { type Route, json, route } from './route.ts';

/** What the watch found last, one for each thing that it looks at. */
export interface WatchFinding {
  /** `canary-mqtt`, `canary-scaip`, `audit`. */
  readonly name: string;
  readonly at: Instant;
  readonly fine: boolean;
  readonly detail: Readonly<Record<string, unknown>>;
}

export interface WatchRouteParts {
  /** @throws CentreError store-away */
  readonly readWatch: () => Promise<readonly WatchFinding[]>;
  readonly clock: Clock;
}

const instant = z.string();
const WATCH = z.object({
  now: instant,
  /** One for each protocol over which a round was done. */
  canaries: z.array(
    z.object({
      protocol: z.enum(CANARY_PROTOCOLS),
      at: instant,
      fine: z.boolean(),
      /** Where the round ended; null when it went well. */
      step: z.string().nullable(),
      /** Of the last round that went well. */
      fineAt: instant.nullable(),
    }),
  ),
});
export type WatchView = z.infer<typeof WATCH>;

export function watchRoutes({ readWatch, clock }: WatchRouteParts): Route[] {
  return [
    route({
      method: 'GET',
      path: '/api/v1/watch',
      summary: "How the centre's rounds on itself went last: a test alarm a minute over each protocol, handled to its end.",
      access: ['operator', 'supervisor', 'technician'],
      ok: { status: 200, schema: WATCH },
      async handle() {
        const findings = await readWatch();
        const canaries = CANARY_PROTOCOLS.flatMap((protocol): WatchView['canaries'] => {
          const found = findings.find(({ name }) => name === `canary-${protocol}`);
          if (found === undefined) return [];
          const { at, fine, detail } = found;
          return [{ protocol, at: toIso(at), fine, step: textOf(detail['step']), fineAt: textOf(detail['fineAt']) }];
        });
        return json({ now: toIso(clock.now()), canaries } satisfies WatchView);
      },
    }),
  ];
}

const textOf = (value: unknown): string | null => (typeof value === 'string' ? value : null);
