/** The names of the canary: a household of nobody, through which the centre proves to itself that alarms get through (ADR 17). */

/** The reserved municipality. No configuration or register can name it (theirs have four digits), and `*` does not include it. */
export const CANARY_MUNICIPALITY = 'canary';
/** How its alarms look to everything that lists, counts or measures alarms: they are nobody's, and no figure of the service. */
export const isCanary = ({ municipality }: { readonly municipality: string }): boolean => municipality === CANARY_MUNICIPALITY;

export const CANARY_PROTOCOLS = ['mqtt', 'scaip'] as const;
export type CanaryProtocol = (typeof CANARY_PROTOCOLS)[number];

/** One household a protocol: what is pressed over one never joins what was pressed over another. Also the serial of its device. */
export const canaryDevice = (protocol: CanaryProtocol): string => `canary-${protocol}`;
/** Controller ids have at most 16 digits; nobody numbers units from this end. */
export const CANARY_CONTROLLER = '9999999999999999';

export const CANARY_OPERATOR = 'canary-operator';
export const CANARY_RESPONDER = 'canary-responder';

/** Of its model, team, ladder and rung, which are built in: a colon, so that no file of a configuration can have the same. */
export const CANARY_ID = 'canary:canary';
