/**
 * Redis emptied, stopped, dying again and again, or never there: nobody sees a difference for more than 5 s, and everybody is asked.
 * Longer: FAULTS=long npx tap run --timeout=1800 test/faults
 */
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { Redis } from 'ioredis';
import t, { type Test } from 'tap';
import { type SmsGateway, startSmsGateway } from '../../simulators/sms-gateway.ts';
import { type Console, MqttDevice, type Person, clock, registerOf, signIn } from '../support/outside.ts';
import { type Centre, ROOT, admin, kill, startCentre, storeOf, temporary } from '../support/process.ts';
import { until } from '../support/stores.ts';

/** How long Redis is stopped, and then kept dying: 60 s with FAULTS=long, or FAULTS_REDIS_SECONDS. */
const AWAY_MS = 1000 * Number(process.env['FAULTS_REDIS_SECONDS'] ?? (process.env['FAULTS'] === 'long' ? 60 : 6));
const SEEN_WITHIN_MS = 5000;
const ASKED_WITHIN_MS = 5000;
const EVERY_MS = 400;
/** As the demonstration has them: leder is told, natt and natt2 are sent. */
const PHONES = ['+4759003001', '+4759003002', '+4759003004'];

/** Two rungs, as quick as the configuration lets them be. */
function quickLadder(t: Test): string {
  const folder = path.join(temporary(t), 'config');
  cpSync(path.join(ROOT, 'config'), folder, { recursive: true });
  const file = path.join(folder, 'ladders.json');
  const config = JSON.parse(readFileSync(file, 'utf8')) as {
    ladders: { waitsSeconds: Record<string, number>; rungs: { waitSeconds: number }[] }[];
  };
  const [ladder] = config.ladders;
  ladder!.waitsSeconds['unclaimed'] = 5;
  ladder!.rungs = ladder!.rungs.slice(0, 2).map((rung) => ({ ...rung, waitSeconds: 5 }));
  writeFileSync(file, JSON.stringify(config));
  return folder;
}

interface Evening {
  readonly centre: Centre;
  readonly operator: Person;
  readonly screen: Console;
  readonly gateway: SmsGateway;
  /** The next household presses; resolves with the moment of the PUBACK and the alarm's device. */
  press(): Promise<void>;
  /** When each device was acknowledged. */
  readonly pressed: Map<string, number>;
}

async function evening(t: Test, households: number, more: Record<string, string> = {}): Promise<Evening> {
  const dataDir = path.join(temporary(t), 'data');
  const gateway = await startSmsGateway({ port: 0, clock });
  t.teardown(() => gateway.stop());
  const register = path.join(temporary(t), 'register.csv');
  writeFileSync(register, registerOf(households));
  const env = { CONFIG_DIR: quickLadder(t), SMS_GATEWAY_URL: gateway.url, SMS_GATEWAY_TOKEN: gateway.token, ...more };
  t.match(await admin(dataDir, ['import', register], env), { code: 0 });
  const { centre, ready } = await startCentre(t, { dataDir, env });
  const operator = await signIn(ready, 'operator');
  const screen = operator.socket();
  t.teardown(() => screen.close());
  await until('a snapshot', () => screen.heardAt > 0);
  const pressed = new Map<string, number>();
  let n = 0;
  return {
    centre,
    operator,
    screen,
    gateway,
    pressed,
    async press() {
      const device = new MqttDevice(() => centre.ready(), `F-${n++}`, '1103');
      t.ok(await device.press(JSON.stringify({ id: 'p', type: 'call-button' })), `${device.serial} is acknowledged`);
      pressed.set(device.serial, clock.monotonic());
      device.close();
    },
  };
}

/** Each alarm was on the screen in time, and each of its people asked once, and in time. */
async function sawAndAsked(t: Test, { operator, screen, gateway, pressed }: Evening): Promise<void> {
  const alarms = await operator.alarms();
  t.same(alarms.map(({ device }) => device).toSorted(), [...pressed.keys()].toSorted(), 'an alarm for each press');
  await until('everybody asked', () => gateway.messages().length >= alarms.length * PHONES.length, 60_000).catch(() => {});
  const shown = alarms.map(({ number, device }) => (screen.shownAt.get(number) ?? Infinity) - (pressed.get(device) ?? 0));
  t.ok(Math.max(...shown) < SEEN_WITHIN_MS, `the slowest alarm was on the screen after ${Math.round(Math.max(...shown))} ms`);
  const asked = new Map<string, string[]>();
  let slowest = 0;
  for (const { number } of alarms) {
    const messages = gateway.messages().filter(({ text }) => new RegExp(`\\b${number}\\b`).test(text));
    asked.set(number, messages.map(({ to }) => to).toSorted());
    const { timeline } = await operator.alarm(number);
    for (const { at, event } of timeline) {
      if (event.event !== 'told' && event.event !== 'dispatched') continue;
      const first = (phone: string): number => Math.min(...messages.filter(({ to }) => to === phone).map(({ acceptedAt }) => acceptedAt));
      const phones = event.event === 'told' ? PHONES.slice(2) : PHONES.slice(0, 2);
      slowest = Math.max(slowest, ...phones.map((phone) => first(phone) - Date.parse(at)));
    }
  }
  t.same(Object.fromEntries(asked), Object.fromEntries(alarms.map(({ number }) => [number, PHONES])), 'each of its people is asked, once');
  t.ok(slowest < ASKED_WITHIN_MS, `the slowest ask reached the gateway ${Math.round(slowest)} ms after it was decided`);
}

await t.test(`Redis is emptied, stands still for ${AWAY_MS / 1000} s, and dies again and again for as long`, async (t) => {
  const pace = Math.max(EVERY_MS, AWAY_MS / 30);
  const all = await evening(t, Math.ceil((2 * AWAY_MS + 20_000) / pace));
  const { centre, operator, screen } = all;
  const redis = new Redis(path.join(centre.dataDir, 'run', 'redis.sock'));
  redis.on('error', () => {});
  t.teardown(() => redis.disconnect());

  /** Presses go on as long as `during` takes. */
  const meanwhile = async (during: Promise<unknown>): Promise<void> => {
    let over = false;
    const done = during.finally(() => (over = true));
    while (!over) {
      const next = clock.monotonic() + pace;
      await all.press();
      await until('the next press', () => over || clock.monotonic() >= next);
    }
    await done;
  };
  const forSpan = (ms: number, doing: () => void = () => {}): Promise<unknown> => {
    const end = clock.monotonic() + ms;
    return until(
      'the span is over',
      () => {
        doing();
        return clock.monotonic() >= end;
      },
      ms + 30_000,
    );
  };
  const flush = async (times: number): Promise<void> => {
    for (let n = 0; n < times; n++) {
      await redis.flushall();
      await forSpan(500);
    }
  };
  /** What an operator does is seen by the others too. */
  const noted = async (): Promise<void> => {
    const number = [...screen.latest.keys()].at(-1)!;
    const { status, body } = await operator.order(number, { command: 'note', text: 'Ringer nå' });
    t.equal(status, 200);
    const from = clock.monotonic();
    await until('the note on the screen', () => (screen.latest.get(number)?.version ?? 0) >= body.version, 30_000);
    t.ok(clock.monotonic() - from < SEEN_WITHIN_MS, `a note was on the screen after ${Math.round(clock.monotonic() - from)} ms`);
  };

  await meanwhile(flush(4));
  await noted();
  const stopped = storeOf(centre, 'redis')!;
  kill(stopped, 'SIGSTOP');
  await meanwhile(forSpan(AWAY_MS / 2));
  await noted();
  t.equal((await fetch(`${centre.ready()!.http}/readyz`)).status, 200, 'the centre is fit to serve meanwhile');
  await meanwhile(forSpan(AWAY_MS / 2));
  kill(stopped, 'SIGCONT');
  await meanwhile(forSpan(2000));
  await noted();
  await meanwhile(
    forSpan(AWAY_MS, () => {
      const pid = storeOf(centre, 'redis');
      if (pid !== null) kill(pid, 'SIGKILL');
    }),
  );
  await noted();
  await meanwhile(flush(2));
  await sawAndAsked(t, all);
  t.ok(
    screen.longestSilence < 6000,
    `the longest silence of a socket, ${Math.round(screen.longestSilence)} ms, is shorter than what a console calls stale`,
  );
  t.equal(screen.opened, 1, 'and it was never ended');
  t.equal((await centre.stop()).code, 0);
});

await t.test('Redis was never there', async (t) => {
  const all = await evening(t, 3, { REDIS_URL: 'redis://127.0.0.1:9' });
  t.equal((await fetch(`${all.centre.ready()!.http}/readyz`)).status, 200, 'the centre is fit to serve');
  for (let n = 0; n < 3; n++) await all.press();
  await until('all on the screen', () => all.screen.latest.size === 3, 30_000);
  await sawAndAsked(t, all);
  const told = clock.monotonic();
  t.equal((await all.centre.stop()).code, 0);
  t.ok(clock.monotonic() - told < 10_000, 'it stops in time');
  t.same(
    all.centre
      .output()
      .split('\n')
      .filter((line) => line.includes('stop-failed')),
    [],
    'and each of its parts',
  );
});
