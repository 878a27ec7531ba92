/** All that reads bytes of a network before anybody has decided anything. */
import type { Fuzzed } from './campaign.ts';
import { MQTT } from './mqtt.ts';
import { SCAIP } from './scaip.ts';
import { SIP } from './sip.ts';

export const PARSERS: readonly Fuzzed[] = [...SIP, ...SCAIP, ...MQTT];
