/** Starts what acts by itself: the sweep of deadlines, the asks to responders, and the return of abandoned claims. */
import type { Registry } from 'prom-client';
import { isCanary } from '../alarms/canary.ts';
import type { Desk } from '../alarms/desk.ts';
import { type Clock, RunningClock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { Settings } from '../base/settings.ts';
import { startLeaseSweep } from '../console/claim-keeper.ts';
import type { HealthCheck } from '../console/health-routes.ts';
import type { DeliveryReports, Notifier } from '../escalation/ask.ts';
import { type Asks, startAsks } from '../escalation/asks.ts';
import type { Duty } from '../escalation/duty.ts';
import { planRung } from '../escalation/plan.ts';
import { startSweep } from '../escalation/sweep.ts';
import { createNotifier } from '../notify/by-channel.ts';
import { createPage } from '../notify/page.ts';
import { createSms } from '../notify/sms.ts';
import { createAskBacklog, createAskLedger, createSentAsks } from '../store/asks.ts';
import { createClaimLeases } from '../store/claim-lease.ts';
import { createDeadlines } from '../store/deadlines.ts';
import { createPresence } from '../store/presence.ts';
import { openAskQueue } from '../store/queues.ts';
import type { CleanUp } from './clean-up.ts';
import type { Configuration } from './configuration.ts';
import { lateness } from './measures.ts';
import { measureEscalation } from './measures-parts.ts';
import type { Stores } from './stores.ts';

export interface EscalationParts {
  readonly settings: Settings;
  readonly configuration: Configuration;
  readonly stores: Stores;
  readonly desk: Desk;
  readonly duty: Duty;
  readonly clock: Clock;
  readonly log: Log;
  readonly registry: Registry;
  readonly checks: HealthCheck[];
  readonly cleanUp: CleanUp;
  /** Known only once the console listens; asks are sent after that. */
  readonly publicUrl: () => string;
  /** Tests bring phones of their own. */
  readonly notifier: Notifier | null;
}

/** The sweep looks every 250 ms; this long without a look means that it hangs. */
const SWEEP_SILENT_MS = 6000;
/** The sender that stands on the phone: at most eleven letters (GSM 03.38). */
const SMS_SENDER = 'Responssent';
/** With Redis away, filling a queue and closing it take 2 s each. */
const ASKS_PATIENCE_MS = 5000;

/** @returns the asks, to be told of each commit and of what a gateway reports */
export function startEscalation(parts: EscalationParts): Pick<Asks, 'poke' | 'report'> {
  const { settings, configuration, stores, desk, duty, clock, log, registry, cleanUp, checks, publicUrl } = parts;
  const { postgres, redis, redisUrl } = stores;
  const { escalation } = configuration;
  const late = lateness(registry);
  const sms = smsOf();
  const page = createPage(createPresence(redis), log);

  const asks = startAsks({
    ledger: createAskLedger(postgres),
    backlog: createAskBacklog(postgres),
    sent: createSentAsks(postgres),
    openQueue: (work) => openAskQueue({ url: redisUrl, clock: new RunningClock(), log, work }),
    reports: sms,
    notifier: parts.notifier ?? createNotifier({ page, sms }),
    zones: escalation.zones,
    linkTo: (alarm) => `${publicUrl()}/a/${alarm}`,
    desk,
    clock,
    log,
    // What the centre does for itself is no figure of its service.
    observe: (lateMs, ask) => {
      if (!isCanary(ask)) late.asks.observe(lateMs / 1000);
    },
  });
  cleanUp.add('asks', () => asks.stop(), ASKS_PATIENCE_MS);

  const sweep = startSweep({
    deadlines: createDeadlines(postgres),
    desk,
    plan: async () => {
      const roll = await duty.roll();
      return (alarm) => planRung(escalation, alarm, roll);
    },
    clock,
    log,
    observe: (lateMs, _deadline, alarm) => {
      if (!isCanary(alarm)) late.deadlines.observe(lateMs / 1000);
    },
  });
  cleanUp.add('sweep', () => sweep.stop());
  checks.push({
    name: 'sweep',
    needed: true,
    check: () => Promise.resolve(clock.now() - sweep.stats().lookedAt < SWEEP_SILENT_MS ? null : 'No deadline has been looked for lately.'),
  });

  measureEscalation(registry, { sweep, asks });
  const leases = startLeaseSweep({ desk, leases: createClaimLeases(postgres), clock, log });
  cleanUp.add('claim-leases', () => leases.stop());
  return asks;

  function smsOf(): (Notifier & DeliveryReports) | null {
    if (settings.SMS_GATEWAY_URL === undefined) return null;
    const token = settings.SMS_GATEWAY_TOKEN ?? null;
    // Only an address that was given on purpose is one that a gateway elsewhere can reach.
    const callbackUrl = settings.PUBLIC_URL === undefined || token === null ? null : `${settings.PUBLIC_URL}/api/v1/sms-reports`;
    return createSms({ url: settings.SMS_GATEWAY_URL, token, from: SMS_SENDER, callbackUrl }, { clock, log });
  }
}
