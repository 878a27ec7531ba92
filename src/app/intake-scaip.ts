/** Starts the SCAIP receiver: each message looked up, interpreted and accepted, or held until its credentials come. */
import { createHash } from 'node:crypto';
import { shortName } from '../base/bytes.ts';
import { type Milliseconds, sleep } from '../base/clock.ts';
import { type Interpretation, interpretCall, interpretScaip } from '../devices/interpret.ts';
import type { DeviceRecord } from '../devices/register.ts';
import { createReplyMarks } from '../devices/reply-marks.ts';
import { type Incoming, interpretationAt, signalOf } from '../intake/accept.ts';
import { createHolding } from '../intake/hold.ts';
import { holdingOrSpill } from '../intake/spill-hold.ts';
import { type ScaipMessage, type ScaipServer, startScaip } from '../protocols/scaip/receive.ts';
import type { ScaipCall, ScaipDoor, ScaipUnit, UnitNames } from '../protocols/scaip/unit.ts';
import { DigestGate } from '../protocols/sip/digest.ts';
import { RateLimits } from '../protocols/sip/rate.ts';
import { Registrar } from '../protocols/sip/registrar.ts';
import { createBindingStore } from '../store/bindings.ts';
import { createHeldStore } from '../store/held.ts';
import { type NeedMessage, createFirstNeeds, createReplyMarkStore } from '../store/reply-marks.ts';
import { bindingsOrLater } from './intake-bindings.ts';
import { type IntakeContext, senderOf, stranger } from './intake-parts.ts';

/** No controller id is longer; what is, is not looked for. */
const LONGEST_ID = 64;
/** An acknowledgement waits no longer for what only decides about the voice path. */
const FIRST_NEED_WITHIN_MS: Milliseconds = 500;

/** @throws CentreError port-in-use, port-not-allowed, settings-invalid, store-away */
export async function startSipIntake(context: IntakeContext): Promise<ScaipServer> {
  const { settings, tls, voice, models, register, refusals, accept, spill, postgres, ownMunicipality, clock, random, log } = context;
  const isFirstNeed = createFirstNeeds(postgres);
  const marks = createReplyMarks({ store: createReplyMarkStore(postgres), clock, log });
  const holding = holdingOrSpill({ holding: createHolding({ store: createHeldStore(postgres), keeper: spill, clock, log }), spill });
  const bindings = bindingsOrLater({ store: createBindingStore(postgres), spill, clock, log });
  const limits = new RateLimits({ clock });
  let server: ScaipServer | null = null;
  const udpFlowTo = (to: { address: string; port: number }) => server?.flowTo(to) ?? null;
  const registrar = new Registrar({ clock, log, store: bindings, udpFlowTo });
  const stopParts = async (): Promise<void> => {
    registrar.stop();
    bindings.stop();
    await Promise.all([holding.stop(), marks.stop()]);
  };

  try {
    await registrar.load();
    const started = await startScaip({
      clock,
      log,
      random,
      bind: settings.BIND,
      port: settings.SIP_PORT,
      ...(tls === null ? {} : { tls: { identity: tls, port: settings.SIPS_PORT, handshakeFailed } }),
      lookUp: async (names) => unitOf(names, await recordOf(names)),
      messages: doorFor<ScaipMessage>(
        ({ cid, fromUser, source }) => ({ cid, user: fromUser, address: source.address }),
        (message, record) => interpretScaip(message, models.get(record?.model ?? '')),
      ),
      calls: doorFor<ScaipCall>(({ names }) => names, interpretCall),
      digest: new DigestGate({ clock, random, realm: settings.SIP_REALM }),
      admit: (who) => limits.admit(who),
      registrar,
      refused: (refusal) => refusals.count({ protocol: 'scaip', ...refusal }),
      unacknowledged: (serial, since) => marks.note(serial, since),
      voice,
      strict: settings.SCAIP_STRICT,
    });
    server = started;
    const stop: ScaipServer['stop'] = async (patience) => {
      await started.stop(patience);
      await stopParts();
    };
    return { ...started, stop };
  } catch (error) {
    await stopParts();
    throw error;
  }

  /** The message is kept: that PostgreSQL goes away now must not keep it from being acknowledged. */
  async function isFirst(need: NeedMessage): Promise<boolean> {
    try {
      return await Promise.race([isFirstNeed(need), sleep(clock, FIRST_NEED_WITHIN_MS).then(() => false)]);
    } catch (error) {
      log.warn('first-need-not-asked', { protocol: 'scaip', alarm: need.alarm, error });
      return false;
    }
  }

  function handshakeFailed(address: string, code: string): void {
    refusals.count({ protocol: 'sip', source: address, code: 'tls-handshake-failed', detail: code });
  }

  async function recordOf({ cid, user }: UnitNames): Promise<DeviceRecord | null> {
    const find = async (controllerId: string | null): Promise<DeviceRecord | null> =>
      controllerId === null || controllerId.length > LONGEST_ID ? null : register.find({ protocol: 'scaip', controllerId });
    const named = await find(cid);
    // A cid that arrived garbled: the sender's address still says whose alarm it is; that they differ is marked.
    return named ?? (user === cid ? null : find(user));
  }

  function unitOf({ cid, user, address }: UnitNames, record: DeviceRecord | null): ScaipUnit {
    const profile = models.get(record?.model ?? '').scaip;
    const name = record === null ? shortName(cid ?? user ?? address) : (record.controllerId ?? record.serial);
    const { sipHa1: secrets = null } = record ?? {};
    const mustAuthenticate =
      record !== null && (profile.authentication === 'required' || (profile.authentication === 'when-provisioned' && secrets !== null));
    return { known: record !== null, name, serial: record?.serial ?? null, profile, secrets, mustAuthenticate };
  }

  function doorFor<T extends { readonly raw: Uint8Array }>(
    namesOf: (one: T) => UnitNames,
    interpret: (one: T, record: DeviceRecord | null) => Interpretation,
  ): ScaipDoor<T> {
    const incomingOf = async (one: T): Promise<Incoming> => {
      const names = namesOf(one);
      const { cid, user, address } = names;
      const record = await recordOf(names);
      const source = cid !== null ? `scaip:${cid}` : `sip:${user === null ? '' : `${user}@`}${address}`;
      const sender = record === null ? stranger(source, cid ?? user ?? address, ownMunicipality) : senderOf(record);
      return { protocol: 'scaip', sender, raw: one.raw, interpretation: interpret(one, record) };
    };
    return {
      async accept(one, { authenticated }) {
        const incoming = await incomingOf(one);
        const accepted = await accept(incoming);
        if (!accepted.kept) return { kept: false };
        const digest = digestOf(one.raw);
        if (authenticated) void holding.released(incoming.sender.source, digest);
        const { messageId, receipt } = accepted;
        const { interpretation, sender } = incoming;
        const isNeed = interpretation.what === 'signal' && interpretation.meaning.role === 'need';
        if (voice.answer === 'none' || !isNeed || receipt === null || receipt.alarm === null) return { kept: true, firstOfNeed: false };
        if (receipt.verdict === 'spilled') return { kept: true, firstOfNeed: receipt.first === true };
        const need = { alarm: receipt.alarm, source: sender.source, messageId, digest };
        return { kept: true, firstOfNeed: receipt.verdict === 'opened' || (await isFirst(need)) };
      },
      async hold(one) {
        const incoming = await incomingOf(one);
        const at = clock.now();
        const interpretation = interpretationAt(incoming, at);
        if (interpretation.what === 'life-sign') return 'nothing-to-hold';
        const { source, device } = incoming.sender;
        try {
          const held = await holding.hold(signalOf(incoming, interpretation, at, random));
          if (held === 'full' || held === 'not-held')
            refusals.count({ protocol: 'scaip', source: device, code: 'too-many-held', detail: source });
          return held === 'full' ? 'nothing-to-hold' : held;
        } catch (error) {
          log.error('alarm-not-held', { device, protocol: 'scaip', error });
          return 'not-held';
        }
      },
    };
  }
}

/** As signals have it: what a message that comes again is known by. */
const digestOf = (raw: Uint8Array): Uint8Array => createHash('sha256').update(raw).digest();
