/** The certificates that MQTT takes from files: who issues those of the devices, and what the bridge shows to its broker. */
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { CentreError, reason } from '../base/errors.ts';
import type { Settings } from '../base/settings.ts';
import type { BridgeTls } from '../protocols/mqtt/bridge-options.ts';

type FileSetting = 'MQTT_CLIENT_CA' | 'MQTT_BRIDGE_CA' | 'MQTT_BRIDGE_CERT' | 'MQTT_BRIDGE_KEY';

/** PEM of who issues the devices' certificates. @throws CentreError settings-invalid */
export async function clientCaOf(settings: Settings): Promise<{ readonly clientCa?: string }> {
  const clientCa = await read(settings, 'MQTT_CLIENT_CA');
  if (clientCa === undefined) return {};
  usable('MQTT_CLIENT_CA', { ca: clientCa });
  return { clientCa };
}

/** PEM, read anew each time. @throws CentreError settings-invalid */
export async function bridgeTlsOf(settings: Settings): Promise<BridgeTls> {
  const [ca, cert, key] = await Promise.all([
    read(settings, 'MQTT_BRIDGE_CA'),
    read(settings, 'MQTT_BRIDGE_CERT'),
    read(settings, 'MQTT_BRIDGE_KEY'),
  ]);
  if (ca !== undefined) usable('MQTT_BRIDGE_CA', { ca });
  if (cert === undefined || key === undefined) return ca === undefined ? {} : { ca };
  usable('MQTT_BRIDGE_CERT and MQTT_BRIDGE_KEY', { cert, key });
  return ca === undefined ? { cert, key } : { ca, cert, key };
}

async function read(settings: Settings, setting: FileSetting): Promise<string | undefined> {
  const file = settings[setting];
  if (file === undefined) return undefined;
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new CentreError('settings-invalid', `${setting} names ${file}, which cannot be read: ${reason(error)}.`, { cause: error });
  }
}

function usable(setting: string, tls: BridgeTls): void {
  try {
    if (tls.ca !== undefined && !tls.ca.includes('-----BEGIN CERTIFICATE-----')) throw new Error('there is no certificate in it');
    createSecureContext(tls);
  } catch (error) {
    const message = `What ${setting} names cannot be used (${reason(error)}): put PEM there, a certificate with its own key.`;
    throw new CentreError('settings-invalid', message, { cause: error });
  }
}
