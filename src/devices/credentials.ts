/** Which proof a device must bring, and whether the register holds it: one rule for the lists of technicians and the command line. */
import type { ScaipProfile } from './model.ts';

/**
 * `secret`: one was made. `certificate`: it must come with its own. `none`: it has nothing to prove. `missing`: it has
 * nothing, though it is asked for it: an MQTT device cannot connect, alarms of a SCAIP unit are shown late and marked.
 */
export const CREDENTIAL_STATES = ['secret', 'certificate', 'none', 'missing'] as const;
export type CredentialState = (typeof CREDENTIAL_STATES)[number];

export interface HeldCredentials {
  readonly protocol: 'mqtt' | 'scaip';
  readonly hasSecret: boolean;
  readonly hasCertificate: boolean;
}

/** @param profile how the unit's model is spoken to; of no matter for MQTT, where nobody connects without proof */
export function credentialState(held: HeldCredentials, { authentication }: Pick<ScaipProfile, 'authentication'>): CredentialState {
  if (held.protocol === 'mqtt' && held.hasCertificate) return 'certificate';
  if (held.hasSecret) return 'secret';
  return held.protocol === 'mqtt' || authentication === 'required' ? 'missing' : 'none';
}
