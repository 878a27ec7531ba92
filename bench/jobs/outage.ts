/** An area without power: thousands of units say so and go dark, while people press their buttons; and what a console is shown of it. */
import { WebSocket } from 'ws';
import { type Milliseconds, RunningClock, toIso } from '../../src/base/clock.ts';
import { hostAndPort } from '../../simulators/addresses.ts';
import type { LoadResult } from '../../simulators/load.ts';
import { MqttWire } from '../../simulators/load/mqtt-wire.ts';
import { type Progress, openLoop } from '../../simulators/load/open-loop.ts';
import { ScaipWire } from '../../simulators/load/scaip-wire.ts';
import { type ScaipReport, flavourOf, writeReport } from '../../simulators/scaip/vendors.ts';
import { Caller } from '../caller.ts';
import { answerParent, sayBegun } from '../job.ts';
import { LARGEST_PAGE, type OutagePlan } from '../plan.ts';
import { MUNICIPALITY, SECRET, controllerIdOf, outageIdOf, outageOf, serialOf } from '../register.ts';

export interface OutageJob {
  readonly http: string;
  readonly mqtt: string;
  readonly sipUdp: string;
  readonly plan: OutagePlan;
  /** Marks the references of this run. */
  readonly run: string;
}

export interface Span {
  readonly sentAt: Milliseconds;
  readonly ackAt: Milliseconds;
}

export interface OutageResult {
  /** Of the units' last words; stage `ack`. */
  readonly dark: LoadResult;
  /** Of the pressed buttons; stages `ack` and `shown`. */
  readonly life: LoadResult;
  /** When each was sent and acknowledged, in ms of one clock. */
  readonly darkSpans: readonly Span[];
  readonly lifeSpans: readonly Span[];
  /** Numbers of alarms in the order in which the console was first shown them. */
  readonly shown: readonly string[];
  /** Life alarms before the first technical one on the first page of open alarms, at the end. */
  readonly firstInList: number;
}

/** Units behind each socket of SCAIP: its addresses are limited, as behind a proxy of the operator. */
const SCAIP_SOCKETS = 64;
const CONNECTING_AT_ONCE = 50;
const REPEAT_EVERY_MS: Milliseconds = 100;
const DRAIN_MS: Milliseconds = 30_000;
const clock = new RunningClock();
const essence = flavourOf('essence');

interface ShownAlarm {
  readonly type: string;
  readonly alarm?: { readonly number: string; readonly device: string; readonly priority: string };
}

answerParent<OutageJob, OutageResult>(async ({ http, mqtt, sipUdp, plan, run }) => {
  const { devices, darkWithinMs, lifeAlarms, forMs } = plan;
  const awaited = new Map<string, Progress>();
  const shown = new Set<string>();
  const operator = await Caller.signIn(http, 'operator');
  const socket = await openConsole(http, operator.cookie, (alarm, at) => {
    shown.add(alarm.number);
    const progress = awaited.get(alarm.device);
    if (progress === undefined || alarm.priority !== 'life') return;
    awaited.delete(alarm.device);
    progress.reached('shown', at);
  });

  const broker = hostAndPort(mqtt);
  const wires = new Map<string, MqttWire>();
  const units = Array.from({ length: devices }, (_, n) => outageOf(n));
  const pressing = Array.from({ length: lifeAlarms }, (_, n) => ({
    mqtt: n % 2 === 0,
    serial: n % 2 === 0 ? serialOf(n) : `BENCH-S-${n}`,
  }));
  const connecting = [...units, ...pressing].filter((one) => one.mqtt);
  for (let from = 0; from < connecting.length; from += CONNECTING_AT_ONCE) {
    const some = connecting.slice(from, from + CONNECTING_AT_ONCE).map(async ({ serial }) => {
      const login = { clientId: serial, username: serial, password: SECRET };
      wires.set(serial, await MqttWire.open(broker.host, broker.port, login, clock));
    });
    await Promise.all(some);
  }
  const receiver = hostAndPort(sipUdp);
  const scaip = await Promise.all(Array.from({ length: SCAIP_SOCKETS }, () => ScaipWire.open('udp', receiver.host, receiver.port, clock)));
  const repeating = clock.every(REPEAT_EVERY_MS, () => {
    for (const wire of scaip) wire.repeat();
  });

  const darkSpans: Span[] = [];
  const lifeSpans: Span[] = [];
  const noted = (progress: Progress, spans: Span[]): ((at: Milliseconds) => void) => {
    const sentAt = clock.monotonic();
    return (at) => {
      spans.push({ sentAt, ackAt: at });
      progress.reached('ack', at);
    };
  };
  const overMqtt = (serial: string, id: string, type: string, progress: Progress): void => {
    const acknowledged = noted(progress, type === 'mains-lost' ? darkSpans : lifeSpans);
    const wire = wires.get(serial);
    const payload = JSON.stringify({ id: `${run}-${id}`, at: toIso(clock.now()), type });
    wire?.publish(`nj/v1/${MUNICIPALITY}/${serial}/alarm`, payload, (at) => {
      if (at === null) progress.failed('connection ended');
      else acknowledged(at);
      // Without power: no farewell.
      if (type === 'mains-lost') wire.cut();
    });
  };
  const overScaip = (n: number, cid: string, id: string, report: ScaipReport, progress: Progress): void => {
    const ref = `${run}${id}`;
    scaip[n % SCAIP_SOCKETS]?.message(cid, ref, writeReport(essence, report, ref, cid, null), {
      ok: () => undefined,
      mrs: noted(progress, report === 'mains-lost' ? darkSpans : lifeSpans),
      failed: (why) => progress.failed(why),
    });
  };

  sayBegun();
  const [dark, life] = await Promise.all([
    openLoop({ ratePerSecond: (devices * 1000) / darkWithinMs, forMs: darkWithinMs, drainMs: DRAIN_MS }, ['ack'], clock, (n, progress) => {
      const { mqtt: speaksMqtt, serial } = outageOf(n);
      if (speaksMqtt) overMqtt(serial, `d${n}`, 'mains-lost', progress);
      else overScaip(n, outageIdOf(n), `d${n.toString(36)}`, 'mains-lost', progress);
    }),
    openLoop({ ratePerSecond: (lifeAlarms * 1000) / forMs, forMs, drainMs: DRAIN_MS }, ['ack', 'shown'], clock, (n, progress) => {
      const { mqtt: speaksMqtt, serial } = pressing[n] ?? { mqtt: true, serial: '' };
      awaited.set(serial, progress);
      if (speaksMqtt) overMqtt(serial, `l${n}`, 'call-button', progress);
      else overScaip(n, controllerIdOf(n), `l${n.toString(36)}`, 'manual-alarm', progress);
    }),
  ]);
  repeating.cancel();
  const { alarms } = await operator.get<{ alarms: readonly { readonly priority: string }[] }>(
    `/api/v1/alarms?state=open&limit=${LARGEST_PAGE}`,
  );
  const firstTechnical = alarms.findIndex(({ priority }) => priority === 'technical');
  const before = firstTechnical < 0 ? alarms : alarms.slice(0, firstTechnical);
  const firstInList = before.filter(({ priority }) => priority === 'life').length;
  socket.terminate();
  for (const wire of [...wires.values(), ...scaip]) wire.close();
  return { dark, life, darkSpans, lifeSpans, shown: [...shown], firstInList };
});

/** Resolves with its first message: from then on it is shown what happens. */
async function openConsole(
  http: string,
  cookie: string,
  on: (alarm: NonNullable<ShownAlarm['alarm']>, at: Milliseconds) => void,
): Promise<WebSocket> {
  const socket = new WebSocket(`${http.replace('http', 'ws')}/ws`, { headers: { cookie }, perMessageDeflate: false });
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.once('message', () => {
      resolve(socket);
      socket.on('message', (frame: Buffer) => {
        const at = clock.monotonic();
        const { type, alarm } = JSON.parse(frame.toString()) as ShownAlarm;
        if (type === 'alarm' && alarm !== undefined) on(alarm, at);
      });
    });
  });
}
