/** The commands about a device's proof of who it is: its secret, made and shown once, and its client certificate. */
import { X509Certificate, createHash } from 'node:crypto';
import type { BookedDevice, DeviceAdminParts } from './book.ts';
import { CentreError } from '../base/errors.ts';
import { fromIso, toIso } from '../base/clock.ts';
import { RETIRED } from './authentication.ts';
import { renewSecret } from './provisioning.ts';

const wrong = (message: string): CentreError => new CentreError('command-line-invalid', message);

export async function giveSecret(device: BookedDevice, { book, models, realm, random, terminal }: DeviceAdminParts): Promise<void> {
  const { serial, model, state, hasSecret, hasCertificate } = device;
  if (state === RETIRED) throw wrong(`${serial} is retired: put it back into service first ("device restore ${serial}").`);
  // Running centres remember a device for 2 s at most; this process has nothing to forget.
  const login = await renewSecret(device, { store: book, realm, random, changed: () => undefined });
  if (login === null) throw wrong(`${serial} was changed by somebody else just now: nothing was set, run the command again.`);
  terminal.say(`Secret of ${serial}, shown only now. Enter in the ${login.protocol === 'mqtt' ? 'device' : 'unit'}:`);
  const fields: readonly (readonly [string, string])[] =
    login.protocol === 'mqtt'
      ? [
          ['user name', login.userName],
          ['password', login.secret],
        ]
      : [
          ['SIP user', login.sipUser],
          ['realm', login.realm],
          ['password', login.secret],
        ];
  for (const [name, value] of fields) terminal.say(`  ${name.padEnd(11)}${value}`);
  if (hasSecret) terminal.say('The one before is void at once.');
  if (login.protocol === 'mqtt') {
    terminal.say('A connection that is open stays until the device connects anew.');
    if (hasCertificate) terminal.say('It is identified by its certificate: the password counts only when that is removed.');
  } else if (models.get(model).scaip.authentication === 'none') {
    terminal.say(`Its model ${model} asks for no credentials (scaip.profile.authentication): the secret has no effect until it does.`);
  }
}

export async function removeSecret(device: BookedDevice, { book, models, terminal }: DeviceAdminParts): Promise<void> {
  const { serial, protocol, model, hasSecret, hasCertificate } = device;
  if (!hasSecret) throw wrong(`${serial} has no secret.`);
  if (!(await book.setSecret(device, null))) throw wrong(`${serial} was changed by somebody else just now: run the command again.`);
  terminal.say(`${serial} has no secret any more.`);
  if (protocol === 'mqtt') {
    terminal.say(
      hasCertificate ? 'It connects with its certificate.' : 'It cannot connect until it gets one ("device secret"), or a certificate.',
    );
  } else if (models.get(model).scaip.authentication === 'required') {
    terminal.say('Its model requires one: until it has one, its alarms are shown 10 seconds late, marked as not authenticated.');
  } else {
    terminal.say('It is taken at its word again: whoever knows its controller id can send alarms in its name.');
  }
}

export async function changeCertificate(
  device: BookedDevice,
  { file, remove }: { readonly file?: string | undefined; readonly remove?: boolean | undefined },
  { book, terminal, clock }: DeviceAdminParts,
): Promise<void> {
  const { serial, protocol, hasSecret, hasCertificate } = device;
  if ((file === undefined) === (remove !== true)) {
    throw wrong(`Say which: device certificate ${serial} --file <cert.pem>, or device certificate ${serial} --remove.`);
  }
  if (protocol !== 'mqtt')
    throw wrong(`${serial} is a SCAIP unit, and certificates stand for MQTT devices: give it a secret ("device secret").`);
  if (file === undefined) {
    if (!hasCertificate) throw wrong(`${serial} has no certificate.`);
    await book.setCertificate(serial, null);
    const then = hasSecret
      ? 'It connects with its password.'
      : 'It cannot connect until it gets a secret ("device secret") or a certificate.';
    return terminal.say(`${serial} has no certificate any more. ${then}`);
  }
  const certificate = certificateOf(await terminal.readFile(file), file);
  const sha256 = createHash('sha256').update(certificate.raw).digest();
  const owner = await book.ownerOf(sha256);
  if (owner !== null && owner !== serial) {
    throw wrong(`This certificate stands for ${owner}: each device needs its own ("device certificate ${owner} --remove" takes it away).`);
  }
  await book.setCertificate(serial, sha256);
  terminal.say(`From now on ${serial} must connect over TLS with this certificate; a password alone is refused.`);
  terminal.say(`  subject    ${certificate.subject.replaceAll('\n', ', ') || '(none)'}`);
  terminal.say(`  SHA-256    ${sha256.toString('hex')}`);
  const until = fromIso(certificate.validTo);
  if (until !== null && until <= clock.now())
    terminal.say(`It expired on ${toIso(until)}: it is known by its fingerprint all the same, but have it renewed.`);
}

/** The first one of a PEM file, or the one of a DER file. */
function certificateOf(bytes: Uint8Array, file: string): X509Certificate {
  try {
    return new X509Certificate(bytes);
  } catch {
    const text = Buffer.from(bytes).toString('latin1');
    const why = /PRIVATE KEY/.test(text)
      ? 'holds a private key, which belongs into the device and nowhere else'
      : 'holds no certificate (PEM or DER)';
    throw wrong(`${file} ${why}: give the device's certificate.`);
  }
}
