/** The bench's own processes for real, with a handful of devices: a storm against brokers that let them in, and that do not at first. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import t, { type Test } from 'tap';
import { startAedes, startMosquitto } from '../../bench/brokers.ts';
import { makeCertificate } from '../../bench/certificate.ts';
import { runJob } from '../../bench/job.ts';
import type { LoadJob, LoadOutcome } from '../../bench/jobs/load.ts';
import type { StormJob, StormResult } from '../../bench/jobs/storm.ts';
import { startBroker } from '../simulators/counterparts.ts';
import { withoutOpenssl } from '../support/certificates.ts';
import { noMosquitto } from '../support/mosquitto.ts';

function temporary(t: Test): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'responssenter-bench-test-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const storm = (job: Omit<StormJob, 'quietMs'>): Promise<StormResult> => runJob<StormJob, StormResult>('storm', { ...job, quietMs: 50 });

await t.test('devices that are cut come back, at once and within their jitter', async (t) => {
  const broker = await startBroker();
  t.teardown(() => broker.stop());
  const { storms } = await storm({ address: broker.address, secure: false, devices: 12, jitters: [600, 0] });
  t.match(storms, [
    { jitterMs: 600, lost: 0, failures: 0, latencies: { count: 12 } },
    { jitterMs: 0, lost: 0, failures: 0, latencies: { count: 12 } },
  ]);
  t.ok((storms[0]?.latencies.max ?? 0) > (storms[0]?.latencies.min ?? 0) + 200, 'spread over it');
  t.equal(broker.connects, 36, 'each of them three times');
  t.equal(broker.on('/heartbeat').length, 36);
});

await t.test('a device that is refused tries again later, and its way back counts from the cut', async (t) => {
  const broker = await startBroker();
  t.teardown(() => broker.stop());
  // Everybody's second connection is refused.
  const connects = new Map<string, number>();
  broker.accepts = (username) => {
    connects.set(username, (connects.get(username) ?? 0) + 1);
    return connects.get(username) !== 2;
  };
  const { storms } = await storm({ address: broker.address, secure: false, devices: 3, jitters: [0] });
  t.match(storms, [{ lost: 0, failures: 3, latencies: { count: 3 } }]);
  t.ok((storms[0]?.latencies.min ?? 0) >= 700, 'a device waits a second, more or less, before it tries again');
});

await t.test('a storm under TLS, against the bare aedes that the centre is compared with', { skip: withoutOpenssl }, async (t) => {
  const certificate = makeCertificate(temporary(t));
  t.ok(certificate, 'openssl made one');
  const aedes = await startAedes(certificate);
  t.teardown(() => aedes.stop());
  const { storms } = await storm({ address: aedes.address, secure: true, devices: 4, jitters: [0] });
  t.match(storms, [{ lost: 0, latencies: { count: 4 } }]);
});

await t.test('the same load for Mosquitto', { skip: noMosquitto(t) }, async (t) => {
  const mosquitto = await startMosquitto(temporary(t));
  t.teardown(() => mosquitto?.stop());
  const load = { ratePerSecond: 200, forMs: 200, warmUpMs: 50 };
  const job: LoadJob = { protocol: 'mqtt', address: mosquitto?.address ?? '', load, devices: 5, run: 'm' };
  const { result } = await runJob<LoadJob, LoadOutcome>('load', job);
  t.match(result, { scheduled: 30, reached: { puback: 30 }, reachedInAll: { puback: 40 }, lost: 0, failures: {} });
});
