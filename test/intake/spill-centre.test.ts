/** PostgreSQL stopped, killed and away under a real centre: devices are acknowledged from the spill, and nothing is lost or doubled. */
import { readFileSync, readdirSync, readlinkSync, statSync } from 'node:fs';
import { createConnection } from 'node:net';
import path from 'node:path';
import pg from 'pg';
import t, { type Test } from 'tap';
import WebSocket from 'ws';
import type { DirectNews, ProvisionalAlarm, ProvisionalAnswer } from '../../src/alarms/provisional.ts';
import { RunningClock } from '../../src/base/clock.ts';
import type { ProvisionalReplayedMessage, ServerMessage } from '../../src/console/feed-messages.ts';
import { startPrivatePostgres } from '../../src/store/private-postgres.ts';
import type { PrivateServer } from '../../src/store/private-server.ts';
import { MqttDevice, ScaipUnit, call, signIn } from '../support/outside.ts';
import { kill, spawnCentre, startCentre, temporary } from '../support/process.ts';
import { SILENT, until } from '../support/stores.ts';

const clock = new RunningClock();

/** A PostgreSQL of the test's own: it can be away for as long as the test wants. */
class Database {
  readonly folder: string;
  #server: PrivateServer | null = null;
  url = '';

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async start(t: Test): Promise<Database> {
    const database = new Database(temporary(t));
    await database.begin();
    t.teardown(async () => {
      database.go();
      await database.end();
    });
    return database;
  }

  async begin(): Promise<void> {
    this.#server = await startPrivatePostgres({ dataDir: this.folder, log: SILENT, clock });
    // As a setting it must have a host; the folder of the socket wins.
    this.url = this.#server.url.replace('@/', '@localhost/');
  }

  async end(): Promise<void> {
    await this.#server?.stop();
    this.#server = null;
  }

  /** SIGSTOP to all of it: connections stay, and nobody answers. */
  freeze(): void {
    for (const pid of this.#processes()) kill(pid, 'SIGSTOP');
  }

  go(): void {
    for (const pid of this.#processes()) kill(pid, 'SIGCONT');
  }

  async rows<Row extends object>(text: string, values: unknown[] = []): Promise<Row[]> {
    const client = new pg.Client({ connectionString: this.url });
    client.on('error', () => {});
    try {
      await client.connect();
      return (await client.query<Row>(text, values)).rows;
    } finally {
      await client.end().catch(() => {});
    }
  }

  #processes(): number[] {
    const data = path.join(this.folder, 'postgres');
    return readdirSync('/proc').flatMap((name) => {
      try {
        return /^\d+$/.test(name) && readlinkSync(`/proc/${name}/cwd`) === data ? [Number(name)] : [];
      } catch {
        return [];
      }
    });
  }
}

/** A console process as the direct stream sees it. */
class Listener {
  readonly news: DirectNews[] = [];
  readonly answers = new Map<string, ProvisionalAnswer>();
  pulses = 0;
  closed = false;
  readonly #socket;
  #asks = 0;

  constructor(address: string, token: string) {
    const [host = '', port = ''] = address.split(':');
    this.#socket = createConnection({ host, port: Number(port) });
    this.#socket.on('error', () => {});
    this.#socket.on('close', () => (this.closed = true));
    this.#socket.write(`${JSON.stringify({ hello: token })}\n`);
    let rest = '';
    this.#socket.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const said = JSON.parse(line) as DirectNews | { pulse: true } | { answer: string; result: ProvisionalAnswer };
        if ('pulse' in said) this.pulses += 1;
        else if ('answer' in said) this.answers.set(said.answer, said.result);
        else this.news.push(said);
      }
    });
  }

  alarms(): ProvisionalAlarm[] {
    const all = new Map<string, ProvisionalAlarm>();
    for (const news of this.news) {
      if (news.news === 'whole') {
        all.clear();
        for (const alarm of news.alarms) all.set(alarm.number, alarm);
      } else if (news.news === 'alarm') all.set(news.alarm.number, news.alarm);
      else all.delete(news.number);
    }
    return [...all.values()];
  }

  claim(number: string, account: string): Promise<ProvisionalAnswer> {
    const ask = String(++this.#asks);
    this.#socket.write(`${JSON.stringify({ ask, claim: { number, account, roles: ['operator'], at: clock.now() } })}\n`);
    return until(`the answer to ${ask}`, () => this.answers.get(ask));
  }

  close(): void {
    this.#socket.destroy();
  }
}

interface Ready {
  readonly http: string;
  readonly direct: string;
}
const readyOf = (dataDir: string): Ready => JSON.parse(readFileSync(path.join(dataDir, 'ready.json'), 'utf8')) as Ready;

/** How long it took, in milliseconds, and that it came. */
async function timed(work: Promise<boolean>): Promise<number> {
  const from = performance.now();
  return (await work) ? performance.now() - from : Number.POSITIVE_INFINITY;
}

const spillBytes = (dataDir: string): number => {
  const folder = path.join(dataDir, 'spill');
  return readdirSync(folder).reduce((sum, name) => sum + statSync(path.join(folder, name)).size, 0);
};
const alarmRows =
  'select s.message_id, s.verdict, s.alarm::text, s.marks, a.claimed_by from signal s left join alarm a on a.number = s.alarm';
interface AlarmRow {
  readonly message_id: string;
  readonly verdict: string;
  readonly alarm: string | null;
  readonly marks: string[];
  readonly claimed_by: string | null;
}

await t.test(
  'PostgreSQL stands still: acknowledged from the spill, shown and claimed over the direct stream, taken over afterwards',
  async (t) => {
    const database = await Database.start(t);
    const { centre } = await startCentre(t, { env: { DATABASE_URL: database.url } });
    const { dataDir } = centre;
    const ready = readyOf(dataDir);
    const [row] = await database.rows<{ secret: string }>(`select secret from centre_secret where name = 'direct'`);
    const token = row?.secret ?? '';
    const device = new MqttDevice(() => centre.ready(), 'NJ-1103-0001');
    const other = new MqttDevice(() => centre.ready(), 'NJ-1103-0002');
    const unit = new ScaipUnit(() => centre.ready(), '26317', 'udp');
    const console = new Listener(ready.direct, token);
    t.teardown(async () => {
      device.close();
      other.close();
      console.close();
      await unit.close();
    });
    t.ok(await device.press('{"id":"live","type":"fall"}'));
    t.ok(await unit.press('live', '<mrq><ref>live</ref><cid>26317</cid><dty>3</dty><stc>10</stc></mrq>'));
    await until('the whole', () => console.news.length > 0);
    t.same(console.news[0], { news: 'whole', storeAway: false, alarms: [] });
    const stranger = new Listener(ready.direct, 'guessed');
    await until('a wrong token is shown the door', () => stranger.closed);

    database.freeze();
    const first = await timed(device.publish('{"id":"a0","type":"smoke"}'));
    t.ok(first < 1500, `the first is acknowledged after ${Math.round(first)} ms`);
    const spans: number[] = [];
    for (let n = 1; n <= 20; n++) spans.push(await timed(device.publish(`{"id":"a${n}","type":"call-button"}`)));
    spans.sort((a, b) => a - b);
    t.ok(spans[10]! < 50, `those that follow after ${spans.map((span) => Math.round(span)).join(' ')} ms`);
    t.ok(spans[19]! < 300, 'also the slowest on a busy machine');
    const mrs = await timed(unit.send('s1', '<mrq><ref>s1</ref><cid>26317</cid><dty>3</dty><stc>10</stc></mrq>'));
    t.ok(mrs < 300, `SCAIP after ${Math.round(mrs)} ms`);
    const anew = await timed(other.publish('{"id":"b1","type":"fall"}'));
    t.ok(anew < 500, `a device that connects only now after ${Math.round(anew)} ms`);
    t.ok(await device.publish('{"id":"a0","type":"smoke"}'), 'a repetition is acknowledged');

    await until('all are shown', () => console.alarms().length === 23);
    t.ok(console.news.some((news) => news.news === 'whole' && news.storeAway));
    const smoke = console.alarms().find(({ kind }) => kind === 'smoke')!;
    t.match(smoke, { municipality: '1103', device: 'NJ-1103-0001', household: { name: 'Jan-Erik Skjæveland' }, claimedBy: null });
    const fall = console.alarms().find(({ device: of }) => of === 'NJ-1103-0002')!;
    t.match(await console.claim(fall.number, 'operator'), { claimed: { number: fall.number, claimedBy: 'operator' } });
    t.match(await console.claim(fall.number, 'operator'), { claimed: { claimedBy: 'operator' } }, 'the same again');
    t.same(await console.claim(fall.number, 'operator2'), { refused: 'taken-by-another', by: 'operator' });
    t.same(await console.claim('F-00000000', 'operator2'), { refused: 'unknown-alarm' });
    const fit = await call<{ components: Record<string, { ok: boolean }> }>(ready.http, 'GET', '/readyz');
    t.match(fit, { status: 200, body: { components: { database: { ok: false }, spill: { ok: true } } } }, 'devices must reach it');
    const metrics = await (await fetch(`${ready.http}/metrics`)).text();
    t.match(metrics, /^spill_signals 24$/m);

    const back = performance.now();
    database.go();
    await until('the spill is empty', async () => /^spill_signals 0$/m.test(await (await fetch(`${ready.http}/metrics`)).text()));
    const took = performance.now() - back;
    t.ok(took < 5000, `taken over ${Math.round(took)} ms after PostgreSQL was back`);
    await until('the last news', () => console.alarms().length === 0);
    t.match(
      console.news.find((news) => news.news === 'replayed' && news.number === fall.number),
      { claim: { by: 'operator', result: 'done' } },
    );
    const rows = await database.rows<AlarmRow>(`${alarmRows} where s.message_id ~ '^[abs]\\d' order by s.received_at, s.id`);
    t.same(
      rows.filter(({ verdict }) => verdict !== 'duplicate').map(({ message_id: id }) => id),
      ['a0', ...Array.from({ length: 20 }, (_, n) => `a${n + 1}`), 's1', 'b1'],
      'each once, in order',
    );
    const unmarked = rows.filter(({ marks, verdict }) => verdict !== 'duplicate' && !marks.includes('spilled'));
    t.same(
      unmarked.filter(({ message_id: id }) => id !== 'a0'),
      [],
      'said of all but the one whose own transaction was committed after all',
    );
    t.equal((await database.rows('select from alarm_alias where alias = $1', [smoke.number])).length, 1);
    t.equal(rows.find(({ message_id: id }) => id === 'b1')?.claimed_by, 'operator');
    const [alias] = await database.rows<{ alarm: string }>('select alarm::text from alarm_alias where alias = $1', [fall.number]);
    t.equal(alias?.alarm, rows.find(({ message_id: id }) => id === 'b1')?.alarm);
    t.match(await console.claim(fall.number, 'operator2'), { refused: 'gone', alarm: alias?.alarm });
    const operator = await signIn(ready, 'operator');
    const alarm = await operator.alarm(alias!.alarm);
    t.match(
      alarm.timeline.find(({ event }) => event.event === 'claimed'),
      { actor: { account: 'operator' }, doneAt: /^20/ },
    );
    t.ok(await device.press('{"id":"after","type":"fall"}'), 'and live again');
    t.match(await database.rows(`${alarmRows} where s.message_id = 'after'`), [{ verdict: 'repeated' }]);
    await until('nothing personal is left on the disk', () => spillBytes(dataDir) < 100);
    t.equal((await centre.stop()).code, 0);
  },
);

await t.test(
  'PostgreSQL is away, and the centre is killed meanwhile: the next start waits and takes over what was acknowledged',
  async (t) => {
    const database = await Database.start(t);
    const env = { DATABASE_URL: database.url };
    let { centre } = await startCentre(t, { env });
    const { dataDir } = centre;
    const device = new MqttDevice(() => centre.ready(), 'NJ-1103-0001');
    const unit = new ScaipUnit(() => centre.ready(), '26317', 'tcp');
    t.teardown(async () => {
      device.close();
      await unit.close();
    });
    t.ok(await device.press('{"id":"live","type":"fall"}'));
    const [row] = await database.rows<{ secret: string }>(`select secret from centre_secret where name = 'direct'`);
    await database.end();
    const first = await timed(device.publish('{"id":"c0","type":"fall"}'));
    t.ok(first < 1500, `the first is acknowledged after ${Math.round(first)} ms`);
    for (let n = 1; n <= 5; n++) t.ok(await device.publish(`{"id":"c${n}","type":"call-button"}`));
    t.ok(await unit.send('d1', '<mrq><ref>d1</ref><cid>26317</cid><dty>3</dty><stc>10</stc></mrq>'));
    const console = new Listener(readyOf(dataDir).direct, row?.secret ?? '');
    await until('all are shown', () => console.alarms().length === 7);
    const scaip = console.alarms().find(({ device: of }) => of === '26317')!;
    t.match(await console.claim(scaip.number, 'operator2'), { claimed: { claimedBy: 'operator2' } });
    console.close();
    await centre.killEverything();
    device.close();

    const early = spawnCentre(t, { env: { ...env, REDIS_URL: 'redis://127.0.0.1:9' }, dataDir });
    await until('a start waits', () => early.output().includes('database-awaited'), 30_000);
    const told = performance.now();
    t.same(await early.stop().then(({ code, stderr }) => ({ code, stderr })), { code: 0, stderr: '' }, 'and can be ended');
    t.ok(performance.now() - told < 3000, `after ${Math.round(performance.now() - told)} ms`);
    centre = spawnCentre(t, { env, dataDir });
    await until('the next one waits', () => centre.output().includes('database-awaited'), 30_000);
    await database.begin();
    await centre.whenReady();
    t.match(centre.output(), /database-back/);
    const rows = await until('all are there', async () => {
      const found = await database.rows<AlarmRow>(`${alarmRows} where s.message_id ~ '^[cd]\\d' order by s.received_at, s.id`);
      return found.length === 7 ? found : null;
    });
    t.same(
      rows.map(({ message_id: id }) => id),
      ['c0', 'c1', 'c2', 'c3', 'c4', 'c5', 'd1'],
    );
    const claimed = await until('the claim', async () =>
      (await database.rows<AlarmRow>(`${alarmRows} where s.message_id = 'd1'`)).find((one) => one.claimed_by),
    );
    t.equal(claimed.claimed_by, 'operator2');
    t.ok(await device.press('{"id":"c0","type":"fall"}'), 'a device that sends again what was acknowledged');
    t.equal((await database.rows(`${alarmRows} where s.message_id = 'c0' and s.verdict <> 'duplicate'`)).length, 1);
    t.equal((await centre.stop()).code, 0);

    // It answers, and then does not: as if it had gone away in the midst of the start.
    const holder = new pg.Client({ connectionString: database.url });
    await holder.connect();
    await holder.query('begin; lock table alarm, signal, timeline, device in access exclusive mode');
    const again = spawnCentre(t, { env, dataDir });
    await until('the start is begun anew', () => again.output().includes('start-begun-anew'), 30_000);
    await holder.end();
    await again.whenReady();
    t.equal((await again.stop()).code, 0);
  },
);

/** What a page is told that somebody keeps open who is signed in. */
async function pageOf(
  t: Test,
  { http }: Ready,
  username: string,
): Promise<{ said: ServerMessage[]; claim: (number: string) => Promise<number> }> {
  const { cookie } = await call(http, 'POST', '/api/v1/session', { username, password: 'demo' });
  const said: ServerMessage[] = [];
  const socket = new WebSocket(`${http.replace(/^http/, 'ws')}/ws`, { headers: { cookie, origin: http } });
  socket.on('message', (text: Buffer) => said.push(JSON.parse(String(text)) as ServerMessage));
  t.teardown(() => socket.terminate());
  await until(`${username} sees the board`, () => said.some(({ type }) => type === 'snapshot'));
  const order = { command: 'claim' };
  return { said, claim: async (number) => (await call(http, 'POST', `/api/v1/alarms/${number}/commands`, order, cookie)).status };
}

await t.test(
  'a claim is refused when its intake process starts anew, before anybody listens: who made it is told all the same',
  async (t) => {
    const database = await Database.start(t);
    // None: each of two private ones would hear half of it.
    const env = { DATABASE_URL: database.url, REDIS_URL: 'redis://127.0.0.1:9' };
    const { centre: here } = await startCentre(t, { env });
    const { centre: there } = await startCentre(t, { env });
    const [near, far] = [new MqttDevice(() => here.ready(), 'NJ-1103-0001'), new MqttDevice(() => there.ready(), 'NJ-1103-0001')];
    t.teardown(() => {
      near.close();
      far.close();
    });
    t.ok(await near.press('{"id":"through-here","type":"fall"}'));
    near.close();
    const [{ alarm } = { alarm: '' }] = await database.rows<{ alarm: string }>(
      `select alarm::text from signal where message_id = 'through-here'`,
    );
    const [kari, ola] = [await pageOf(t, readyOf(here.dataDir), 'operator'), await pageOf(t, readyOf(here.dataDir), 'operator2')];

    const { http } = readyOf(there.dataDir);
    await until('both consoles listen', async () => /^direct_clients 2$/m.test(await (await fetch(`${http}/metrics`)).text()));
    await database.end();
    t.ok(await far.press('{"id":"through-there","type":"call-button"}'));
    const early = await until('it is shown at the other console', () => {
      for (const one of kari.said) {
        if (one.type === 'provisional-alarm') return one.alarm;
        if (one.type === 'provisional' && one.alarms[0] !== undefined) return one.alarms[0];
      }
      return null;
    });
    t.equal(await kari.claim(early.number), 200);
    await there.killEverything();
    far.close();
    await database.begin();
    await until('another claims the alarm of that household', async () => (await ola.claim(alarm)) === 200);
    const again = spawnCentre(t, { env, dataDir: there.dataDir });
    await again.whenReady();
    const told = (page: { said: ServerMessage[] }): ProvisionalReplayedMessage[] =>
      page.said.flatMap((one) => (one.type === 'provisional-replayed' ? [one] : []));
    await until('what became of it', () => told(kari).length > 0, 20_000);
    const { number } = early;
    t.match(told(kari), [{ number, alarm, claim: { by: 'operator', result: 'refused', code: 'taken-by-another' } }]);
    t.match(told(ola), [{ number, alarm, claim: null }], "which is nobody else's business");
    t.equal((await again.stop()).code, 0);
    t.equal((await here.stop()).code, 0);
  },
);
