/** An hour of a clock that is moved, in one process with the whole centre: heartbeats, alarms handled to their end, and the heap. */
import process from 'node:process';
import pg from 'pg';
import { startCentre } from '../../src/app.ts';
import { type Milliseconds, MovableClock, RunningClock, minutes, seconds, sleep, toIso } from '../../src/base/clock.ts';
import { createLog } from '../../src/base/log.ts';
import { readSettings } from '../../src/base/settings.ts';
import { privateDatabaseOf } from '../../src/store/private-postgres.ts';
import { answerParent, runServer } from '../job.ts';
import type { SteadyPlan } from '../plan.ts';
import { fillRegister } from '../register.ts';
import { workingStaff } from '../staff.ts';
import type { DevicesJob, Saying } from './devices.ts';

export interface SteadyHourJob {
  /** Empty: stores of its own are made in it. */
  readonly dataDir: string;
  readonly configDir: string;
  readonly plan: SteadyPlan['hour'];
}

export interface SteadyHourResult {
  /** After a collection, in MB, with the minute of the clock. */
  readonly heap: readonly { readonly minute: number; readonly mb: number }[];
  readonly heartbeats: number;
  readonly alarms: number;
  readonly closed: number;
  readonly commands: number;
  readonly refusals: Readonly<Record<string, number>>;
  /** Lines of the log above `info`, by their events. */
  readonly warnings: Readonly<Record<string, number>>;
  readonly tookMs: Milliseconds;
}

/** So often the heap is looked at. */
const LOOKS = 12;
/** The centre's sockets are not silent for longer than it bears. */
const STEP_MS: Milliseconds = seconds(2);
const PATIENCE_MS: Milliseconds = 20_000;
const SIGN_EVERY_S = 60;
const real = new RunningClock();

/** What the centre has begun has ended: time may go on. */
const BUSY = `
select (select count(*) from outbox)::int + (select count(*) from pg_stat_activity
  where datname = current_database() and application_name = 'responssenter' and state <> 'idle')::int as busy`;

answerParent<SteadyHourJob, SteadyHourResult>(async ({ dataDir, configDir, plan }) => {
  const { devices, alarmsPerSecond } = plan;
  const warnings: Record<string, number> = {};
  const log = createLog('warn', {
    write(line: string) {
      const { event } = JSON.parse(line) as { readonly event: string };
      warnings[event] = (warnings[event] ?? 0) + 1;
    },
  });
  const clock = new MovableClock();
  const settings = readSettings({ HTTP_PORT: '0', MQTT_PORT: '0', SIP_PORT: '0', DATA_DIR: dataDir, CONFIG_DIR: configDir });
  const notifier = { notify: () => Promise.resolve({ result: 'delivered' } as const) };
  const roles = ['intake', 'escalation', 'console'] as const;
  const centre = await startCentre({ settings, roles, demo: true, log, clock, notifier });
  const pool = new pg.Pool({ connectionString: privateDatabaseOf(dataDir), max: 1 });
  await fillRegister(pool, devices);
  await settled();
  await clock.advance(STEP_MS);
  // Their ends of the sockets are in another process: both ends of ten thousand are more than one may have open in many a place.
  const field = await runServer<DevicesJob, object>('devices', { mqtt: centre.ready.mqtt ?? '', devices });
  let closed = 0;
  let left = 0;
  const over = (): void => {
    closed += 1;
    left -= 1;
  };
  const staff = await workingStaff({ http: centre.ready.http ?? '', clock: real, shown: () => undefined, closed: over });

  async function settled(): Promise<void> {
    for (const end = real.monotonic() + PATIENCE_MS; ; await sleep(real, 1)) {
      const { rows } = await pool.query<{ busy: number }>(BUSY);
      if (rows[0]?.busy === 0) return;
      if (real.monotonic() > end) throw new Error('The centre does not come to rest.');
    }
  }

  const began = real.monotonic();
  const heap: { minute: number; mb: number }[] = [];
  let heartbeats = 0;
  let alarms = 0;
  const steps = Math.round(minutes(plan.minutes) / STEP_MS);
  const look = Math.max(1, Math.floor(steps / LOOKS));
  for (let step = 1; step <= steps; step++) {
    const at = toIso(clock.now());
    const sayings: Saying[] = [];
    const passed = (step * STEP_MS) / seconds(1);
    const due = Math.floor((passed * devices) / SIGN_EVERY_S);
    while (heartbeats < due) sayings.push({ n: heartbeats++, kind: 'heartbeat', fields: { battery: 80, mains: true, signal: 4 }, at });
    while (alarms < Math.floor(passed * alarmsPerSecond)) {
      left += 1;
      sayings.push({ n: alarms++, kind: 'alarm', fields: { type: 'call-button' }, at });
    }
    await field.ask(sayings);
    for (const end = real.monotonic() + PATIENCE_MS; left > 0; await sleep(real, 1)) {
      if (real.monotonic() > end) throw new Error(`${left} alarms were not handled: ${JSON.stringify(staff.refusals())}`);
    }
    await staff.roundTrip();
    await settled();
    await clock.advance(STEP_MS);
    if (step % look === 0) {
      globalThis.gc?.();
      heap.push({ minute: (step * STEP_MS) / minutes(1), mb: process.memoryUsage().heapUsed / 1_048_576 });
    }
  }
  const tookMs = real.monotonic() - began;
  staff.end();
  await field.stop();
  await pool.end();
  await centre.stop();
  return { heap, heartbeats, alarms, closed, commands: staff.done(), refusals: staff.refusals(), warnings, tookMs };
});
