/** SIP by programs that this project did not write, straight to a whole centre: sipp, openssl s_client, npm sip; with TLS, digest, REGISTER and INVITE. */
import { spawn } from 'node:child_process';
import path from 'node:path';
import t from 'tap';
import { ROOT, missing } from '../support/process.ts';
import { until } from '../support/stores.ts';
import { nothingWentWrong, oneAlarm, pressed, program, secretOf, startInterop } from './centre.ts';
import { NpmSipUnit } from './npm-sip.ts';
import { okTo, written } from './raw-sip.ts';
import { endOf } from './tls-bytes.ts';

const { centre, ready, operator, certificate } = await startInterop(t, { tls: true });
const withoutTls = certificate === null ? 'openssl is not installed' : false;
const scenario = (name: string): string => path.join(ROOT, 'test', 'vectors', 'sipp', name);

await t.test('sipp', { skip: missing(t, 'sipp', '-v') }, async (t) => {
  for (const [transport, address, unit, digestUnit] of [
    ['u1', ready.sipUdp, '7000', '7002'],
    ['t1', ready.sipTcp, '7001', '7003'],
  ] as const) {
    const sipp = (file: string, cid: string, count: number, ...more: string[]): ReturnType<typeof program> => {
      const own = [address, '-i', '127.0.0.1', '-nostdin', '-timeout', '40', '-t', transport, '-m', String(count), '-r', '20'];
      return program(t, 'sipp', [...own, '-key', 'cid', cid, '-sf', scenario(file), ...more]);
    };
    await t.test(`twenty alarms over ${transport}: twenty 200, twenty mrs, one alarm`, async (t) => {
      const { code, output } = await sipp('unit.xml', unit, 20, '-oocsf', scenario('reply.xml'));
      t.equal(code, 0, code === 0 ? 'all as the scenario wants it' : troubleOf(output));
      // Which of the twenty is kept first is open: they are sent together.
      const { timeline } = await operator.alarm((await operator.alarmsOf(unit))[0]?.number ?? '');
      const refs = timeline.flatMap(({ event }) => ('signal' in event ? [event.messageId ?? ''] : []));
      t.same(refs.toSorted(), Array.from({ length: 20 }, (_, n) => `sipp${n + 1}`).toSorted());
      await oneAlarm(t, operator, unit, [`opened ${refs[0]}`, ...refs.slice(1).map((ref) => `repeated ${ref}`)], { signalCount: 20 });
    });
    await t.test(`OPTIONS and INVITE over ${transport}`, async (t) => {
      t.equal((await sipp('options.xml', unit, 1)).code, 0, 'OPTIONS: 200');
      const { code, output } = await sipp('call.xml', unit, 1);
      t.equal(code, 0, code === 0 ? 'INVITE: refused with 480, and the ACK taken' : troubleOf(output));
      await until('the call is in the timeline', async () => {
        const { timeline } = await operator.alarm((await operator.alarmsOf(unit))[0]?.number ?? '');
        return timeline.some(({ event }) => event.event === 'call-received');
      });
    });
    await t.test(`digest over ${transport}: challenged, then one alarm and its mrs`, async (t) => {
      const password = await secretOf(centre, digestUnit);
      const { code, output } = await sipp('digest.xml', digestUnit, 1, '-au', digestUnit, '-ap', password, '-oocsf', scenario('reply.xml'));
      t.equal(code, 0, code === 0 ? '401, then 200' : troubleOf(output));
      await oneAlarm(t, operator, digestUnit, ['opened sipp1'], { signalCount: 1, duplicateCount: 0 });
    });
  }
});

for (const [transport, unit, digestUnit] of [
  ['udp', '7010', '7013'],
  ['tcp', '7011', '7014'],
  ['tls', '7012', '7015'],
] as const) {
  const address = { udp: ready.sipUdp, tcp: ready.sipTcp, tls: ready.sips ?? '' }[transport];
  const extras = certificate === null ? {} : { certificate };
  await t.test(`npm sip over ${transport}`, { skip: transport === 'tls' && withoutTls }, async (t) => {
    const open = await NpmSipUnit.start(t, unit, address, transport, extras);
    t.equal(await open.options(), 200);
    t.equal(await open.message(pressed(unit, `n${unit}`)), 200);
    await open.receipt(`n${unit}`);
    await oneAlarm(t, operator, unit, [`opened n${unit}`], { kind: 'call-button', duplicateCount: 0 });
    t.equal(await open.invite(), 480, 'a call is refused politely');
    await until('and is in the timeline', async () => {
      const { timeline } = await operator.alarm((await operator.alarmsOf(unit))[0]?.number ?? '');
      return timeline.some(({ event }) => event.event === 'call-received');
    });

    const password = await secretOf(centre, digestUnit);
    const secret = await NpmSipUnit.start(t, digestUnit, address, transport, { ...extras, password });
    t.equal(await secret.register(600), 200, 'REGISTER with credentials');
    t.equal(await secret.message(pressed(digestUnit, `d${digestUnit}`)), 200, 'MESSAGE with credentials');
    await secret.receipt(`d${digestUnit}`);
    await oneAlarm(t, operator, digestUnit, [`opened d${digestUnit}`], { kind: 'call-button', duplicateCount: 0 });
    t.equal(await secret.register(0), 200, 'and is gone again');

    const liar = await NpmSipUnit.start(t, digestUnit, address, transport, { ...extras, password: 'wrong' });
    t.equal(await liar.register(600), 401, 'a wrong secret registers nothing');
  });
}

await t.test('openssl s_client: a unit under TLS gets its 200 and its mrs', { skip: withoutTls }, async (t) => {
  const client = spawn(
    'openssl',
    ['s_client', '-quiet', '-connect', ready.sips ?? '', '-CAfile', certificate?.cert ?? '', '-verify_return_error'],
    {
      stdio: ['pipe', 'pipe', 'ignore'],
    },
  );
  t.teardown(() => endOf(client));
  let said = '';
  client.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    for (const request of text.split(/(?=^MESSAGE )/m)) if (request.startsWith('MESSAGE ')) client.stdin.write(okTo(request));
  });
  client.stdin.on('error', () => {});
  const message = written('TCP', { cid: '7020', body: pressed('7020', 'openssl') }).replace('SIP/2.0/TCP', 'SIP/2.0/TLS');
  client.stdin.write(message.slice(0, 100));
  client.stdin.write(message.slice(100));
  await until(`200 and mrs in ${said}`, () => /^SIP\/2\.0 200 /m.test(said) && said.includes('<mrs><ref>openssl</ref><snu>0</snu>'));
  t.match(said, /^MESSAGE sip:7020@127\.0\.0\.1:\d+;transport=tls SIP\/2\.0/m, 'over the same connection');
  await oneAlarm(t, operator, '7020', ['opened openssl'], { signalCount: 1, duplicateCount: 0 });

  const old = await program(t, 'openssl', ['s_client', '-connect', ready.sips ?? '', '-tls1_1'], '');
  t.not(old.code, 0, 'TLS 1.1 is refused');
});

await t.test('all the time the centre met no bug', (t) => {
  nothingWentWrong(t, centre);
  t.end();
});

/** The lines in which sipp says what is wrong, out of its screens. */
function troubleOf(output: string): string {
  const lines = output.split(/\r?\n/).filter((line) => /error|abort|unexpected|unable|must|invalid/i.test(line));
  return lines.join('\n') || output.slice(-2000);
}
