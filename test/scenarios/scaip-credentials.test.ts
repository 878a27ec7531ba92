/** Scenarios of SCAIP units that must prove who they are, and of units that call: nothing is lost for want of a proof, nothing is shown twice. */
import { createHash } from 'node:crypto';
import path from 'node:path';
import t from 'tap';
import { scaipBytes } from '../support/devices.ts';
import { type Scene, stage } from '../support/centre.ts';
import { sql, startCentre, temporary } from '../support/process.ts';
import { Unit, message } from '../support/scaip-receiver.ts';
import { until } from '../support/stores.ts';

const SECRET = 'bright-meadow-9-river';
const hashed = (algorithm: string): string => createHash(algorithm).update(`26317:responssenter:${SECRET}`).digest('hex');
const GIVE_SECRET = `update device set sip_ha1_md5 = $1, sip_ha1_sha256 = $2 where controller_id = '26317'`;
const HA1 = [hashed('md5'), hashed('sha256')];
const press = (ref: string, more = ''): string => `<mrq><ref>${ref}</ref><cid>26317</cid><dty>0002</dty><stc>0010</stc>${more}</mrq>`;

const scenario = await stage();

/** Waits until the centre has looked for changes in the last second of its clock: a secret that was written before that is asked for. */
async function followed(http: string): Promise<void> {
  await until('the centre has read its register anew', async () => {
    const metrics = await (await fetch(`${http}/metrics`)).text();
    const [, age] = /^\w*register_age_seconds (\S+)$/m.exec(metrics) ?? [];
    return Number(age ?? Number.NaN) < 1;
  });
}
async function giveSecret(scene: Scene, http: string | undefined): Promise<void> {
  await scene.rows(GIVE_SECRET, HA1);
  await scene.at(1);
  await followed(http ?? '');
}

async function boardOf(scene: Scene): Promise<unknown[]> {
  return scene.rows(
    `select a.kind, (select count(*)::int from signal s where s.alarm = a.number and s.verdict <> 'duplicate') as signals,
      (select bool_or('unauthenticated' = any(s.marks)) from signal s where s.alarm = a.number) as unauthenticated
     from alarm a where a.closed_at is null order by a.number`,
  );
}

await scenario('A unit with a secret is asked for it, and its alarm is one alarm', async (scene, t) => {
  const { ready } = await scene.startCentre();
  await giveSecret(scene, ready.http);
  const unit = scene.scaipWith(SECRET, '26317');
  t.match(await unit.act({ name: 'press', trigger: '1' }), [{ result: 'delivered', attempts: 1 }]);
  await scene.at(2);
  t.strictSame(await boardOf(scene), [{ kind: 'call-button', signals: 1, unauthenticated: false }]);
  await until('what was held is released', async () => (await scene.rows('select 1 from held_signal')).length === 0);
  await scene.at(15);
  t.strictSame(await boardOf(scene), [{ kind: 'call-button', signals: 1, unauthenticated: false }], 'and stays one');
  t.strictSame(await scene.rows(`select code from refusal_count`), [], 'being asked is no refusal');
});

await scenario('An alarm without a proof is shown once after ten seconds, and says so; a heartbeat is not', async (scene, t) => {
  const { ready } = await scene.startCentre();
  await giveSecret(scene, ready.http);
  const operator = await scene.atScreen('operator');
  t.equal((await scene.scaipBody(press('U1'))).status, 401);
  t.equal((await scene.scaipBody(press('U1'))).status, 401, 'again');
  t.equal((await scene.scaipBody(press('U2', '<mty>PI</mty>'))).status, 401);
  t.equal((await scene.scaipBody(press('U3', '<mty>RE</mty>'))).status, 401);
  await scene.at(9);
  t.strictSame(await operator.board(), []);
  await scene.at(12);
  t.strictSame(await boardOf(scene), [{ kind: 'call-button', signals: 1, unauthenticated: true }]);
  const [alarm] = await operator.board();
  const { timeline } = await operator.alarm(alarm?.number ?? '');
  t.match(timeline[0]?.event, { event: 'opened', marks: ['identity-mismatch', 'unauthenticated'] });
  t.equal((await scene.scaipBody(press('U1'))).status, 401, 'the same once more');
  await scene.at(30);
  t.strictSame(await boardOf(scene), [{ kind: 'call-button', signals: 1, unauthenticated: true }], 'is a duplicate');
  const refusals = await scene.rows(`select source, code from refusal_count`);
  t.strictSame(refusals, [{ source: '26317', code: 'no-credentials' }]);
});

await scenario('A call of a unit is in the timeline of its alarm; where there is none, it makes one', async (scene, t) => {
  const { ready } = await scene.startCentre();
  const operator = await scene.atScreen('operator');
  const [host = '', port = '0'] = (ready.sipUdp ?? '').split(':');
  const caller = await Unit.udp({ udp: { host, port: Number(port) } });
  const calls = async (cid: string, cseq: number): Promise<string> => {
    const before = caller.got.length;
    caller.send(message({ method: 'INVITE', body: '', callId: `call-${cid}`, cseq, from: `sip:${cid}@unit.example` }));
    const isFinal = (one: string): boolean => /^SIP\/2\.0 [2-6]/.test(one) && one.includes(`CSeq: ${cseq} INVITE`);
    return until('the answer', () => caller.got.slice(before).find(isFinal));
  };
  t.match(await scene.scaip('26317').act({ name: 'press', trigger: '1' }), [{ result: 'delivered' }]);
  t.match(await calls('26317', 1), /^SIP\/2\.0 480 /);
  t.match(await calls('10149471', 2), /^SIP\/2\.0 480 /);
  t.match(await calls('31415', 3), /^SIP\/2\.0 403 /);
  await scene.at(2);
  const board = await operator.board();
  t.strictSame(
    board.map(({ device, signalCount }) => [device, signalCount]),
    [
      ['26317', 1],
      ['10149471', 1],
    ],
  );
  const events = async (index: number) => (await operator.alarm(board[index]?.number ?? '')).timeline.map(({ event }) => event.event);
  t.strictSame((await events(0)).slice(0, 2), ['opened', 'call-received']);
  t.equal((await events(1))[0], 'opened');
});

await t.test('everything is killed between the 401 and the tenth second: the alarm is shown after the next start, once', async (t) => {
  const dataDir = path.join(temporary(t), 'data');
  const first = await startCentre(t, { dataDir });
  await sql(dataDir, GIVE_SECRET, HA1);
  // A whole second of real time, so that what is younger than that was read after the secret was given.
  const given = performance.now();
  await until('a second', () => performance.now() - given > 1000);
  await followed(first.ready.http ?? '');
  const sent = await scaipBytes(first.ready.sipUdp, press('K1'));
  await sent.stop();
  t.equal(sent.status, 401);
  t.same(await sql(dataDir, 'select source from held_signal'), [{ source: 'scaip:26317' }]);
  await first.centre.killEverything();
  await startCentre(t, { dataDir });
  const shown = () => sql<{ verdict: string; marks: string[] }>(dataDir, `select verdict, marks from signal where source = 'scaip:26317'`);
  await until('it is shown', async () => (await shown()).length > 0, 30_000);
  await until('nothing is held', async () => (await sql(dataDir, 'select 1 from held_signal')).length === 0, 30_000);
  t.same(await shown(), [{ verdict: 'opened', marks: ['identity-mismatch', 'unauthenticated'] }]);
});
