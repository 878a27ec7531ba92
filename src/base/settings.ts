/** Reads the settings from the environment, once and strictly; every fault is one sentence that names the setting. */
import { z } from 'zod';
import { CentreError } from './errors.ts';

const port = (fallback: number) =>
  z
    .string()
    .regex(/^\d{1,5}$/, 'must be a port number from 0 to 65535')
    .transform(Number)
    .refine((n) => n <= 65_535, 'must be a port number from 0 to 65535')
    .default(fallback);

const url = (protocols: readonly string[]) =>
  z.string().refine(
    (text) => {
      return URL.canParse(text) && protocols.includes(new URL(text).protocol);
    },
    `must be a URL that begins with ${protocols.map((p) => `${p}//`).join(' or ')}`,
  );

/** The platform's topics; shared subscriptions begin otherwise, and lose what a dead consumer had in flight. */
const TOPIC_FILTER = /^nj\/v1(\/[^/#+\0]+|\/\+){0,4}(\/#)?$/;
const topicFilters = z
  .string()
  .transform((text) => text.split(',').map((filter) => filter.trim()))
  .refine(
    (filters) => filters.every((filter) => TOPIC_FILTER.test(filter)),
    'must be topic filters that begin with nj/v1/, separated by commas',
  )
  .default(['nj/v1/+/+/+']);

const flag = z
  .enum(['true', 'false', '1', '0'], 'must be true or false')
  .transform((text) => text === 'true' || text === '1')
  .default(false);

const SETTINGS = z.object({
  BIND: z.union([z.ipv4(), z.ipv6(), z.literal('localhost')], 'must be an IP address or localhost').default('127.0.0.1'),
  HTTP_PORT: port(8080),
  MQTT_PORT: port(1883),
  MQTTS_PORT: port(8883),
  SIP_PORT: port(5060),
  SIPS_PORT: port(5061),
  DIRECT_PORT: port(0),
  SPILL_MAX_MB: z
    .string()
    .regex(/^([1-9]\d{0,4})$/, 'must be a number of megabytes from 1 to 99999')
    .transform(Number)
    .default(256),
  DATA_DIR: z.string().default('./var'),
  CONFIG_DIR: z.string().default('./config'),
  DATABASE_URL: url(['postgres:', 'postgresql:']).optional(),
  REDIS_URL: url(['redis:', 'rediss:']).optional(),
  LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error', 'silent'], 'must be debug, info, warn, error or silent').default('info'),
  PUBLIC_URL: url(['http:', 'https:']).optional(),
  TRUST_PROXY: flag,
  SMS_GATEWAY_URL: url(['http:', 'https:']).optional(),
  SMS_GATEWAY_TOKEN: z.string().optional(),
  SIP_REALM: z
    .string()
    .regex(/^[A-Za-z0-9.-]{1,64}$/, 'must be 1 to 64 letters, digits, dots and hyphens')
    .default('responssenter'),
  SCAIP_STRICT: flag,
  MQTT_CLIENT_CA: z.string().optional(),
  MQTT_BRIDGE_URL: url(['mqtt:', 'mqtts:'])
    .refine((text) => {
      const { username, password } = new URL(text);
      return username === '' && password === '';
    }, 'must not hold a user name or password: give them in MQTT_BRIDGE_USERNAME and MQTT_BRIDGE_PASSWORD')
    .optional(),
  MQTT_BRIDGE_USERNAME: z.string().optional(),
  MQTT_BRIDGE_PASSWORD: z.string().optional(),
  MQTT_BRIDGE_TOPICS: topicFilters,
  MQTT_BRIDGE_CLIENT_ID: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,60}$/, 'must be 1 to 60 letters, digits, dots, underscores and hyphens')
    .default('responssenter'),
  MQTT_BRIDGE_CONNECTIONS: z
    .string()
    .regex(/^([1-9]|[12]\d|3[0-2])$/, 'must be a number from 1 to 32')
    .transform(Number)
    .default(1),
  MQTT_BRIDGE_CA: z.string().optional(),
  MQTT_BRIDGE_CERT: z.string().optional(),
  MQTT_BRIDGE_KEY: z.string().optional(),
  DEAD_MAN_URL: url(['http:', 'https:']).optional(),
  TLS_CERT: z.string().optional(),
  TLS_KEY: z.string().optional(),
});

/** The settings of one process; absent optional ones are undefined. */
export type Settings = Readonly<z.infer<typeof SETTINGS>>;
export const SETTING_NAMES: readonly string[] = Object.keys(SETTINGS.shape);

/**
 * Reads the settings out of `environment`; an empty value counts as unset.
 * @throws CentreError settings-invalid, with one sentence for each wrong setting
 */
export function readSettings(environment: Readonly<Record<string, string | undefined>>): Settings {
  const given = Object.fromEntries(
    SETTING_NAMES.flatMap((name) => {
      const value = environment[name];
      return value === undefined || value === '' ? [] : [[name, value]];
    }),
  );
  const read = SETTINGS.safeParse(given);
  const faults = read.success
    ? pairFaults(read.data)
    : read.error.issues.map((issue) => `${issue.path.join('.')} ${issue.message}${shown(issue.path[0])}.`);
  if (!read.success || faults.length > 0) throw new CentreError('settings-invalid', faults.join('\n'));
  return Object.freeze(read.data);

  function shown(name: unknown): string {
    // A URL or a token may hold a password: those are never repeated.
    if (typeof name !== 'string' || /URL|TOKEN|KEY|PASSWORD/.test(name)) return '';
    return ` (it is "${given[name] ?? ''}")`;
  }
}

const PAIRS = [
  ['TLS_CERT', 'TLS_KEY'],
  ['MQTT_BRIDGE_CERT', 'MQTT_BRIDGE_KEY'],
] as const;

function pairFaults(settings: Settings): string[] {
  const nameless = settings.MQTT_BRIDGE_PASSWORD !== undefined && settings.MQTT_BRIDGE_USERNAME === undefined;
  const faults = nameless ? ['MQTT_BRIDGE_USERNAME must be given too: MQTT knows no password without a user name.'] : [];
  return PAIRS.flatMap(([cert, key]) => {
    if ((settings[cert] === undefined) === (settings[key] === undefined)) return [];
    return [`${settings[cert] === undefined ? cert : key} must be given too: ${cert} and ${key} belong together.`];
  }).concat(faults);
}
