/** Starts the SCAIP receiver: each message looked up, interpreted and accepted. */
import { interpretScaip } from '../devices/interpret.ts';
import { type ScaipMessage, type ScaipServer, startScaip } from '../protocols/scaip/receive.ts';
import { type IntakeContext, senderOf, stranger } from './intake-parts.ts';

/** @throws CentreError port-in-use, port-not-allowed, settings-invalid */
export function startSipIntake(context: IntakeContext): Promise<ScaipServer> {
  const { settings, models, register, accept, ownMunicipality, clock, random, log } = context;
  return startScaip({ clock, log, random, bind: settings.BIND, port: settings.SIP_PORT, accept: acceptScaip });

  async function acceptScaip(message: ScaipMessage): Promise<'kept' | 'not-kept'> {
    const { cid, raw, source } = message;
    const record = cid === null ? null : await register.find({ protocol: 'scaip', controllerId: cid });
    const unknown = cid === null ? `sip:${source.address}` : `scaip:${cid}`;
    const sender = record === null ? stranger(unknown, cid ?? source.address, ownMunicipality) : senderOf(record);
    const interpretation = interpretScaip(message, models.get(record?.model ?? ''));
    const { kept } = await accept({ protocol: 'scaip', sender, raw, interpretation });
    return kept ? 'kept' : 'not-kept';
  }
}
