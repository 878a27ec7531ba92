/** The devices of the register as they lie in memory: each once, found by whatever it may be asked for by. */
import type { DeviceKey, DeviceRecord } from './register.ts';

/** Leading zeros of a controller id make no difference (SCAIP reference, § 6). */
export const plainId = (controllerId: string): string => controllerId.trim().replace(/^0+(?=.)/, '');

const hex = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');

export class RegisterMemory {
  readonly #devices = new Map<string, DeviceRecord>();
  readonly #units = new Map<string, DeviceRecord>();
  readonly #certificates = new Map<string, DeviceRecord>();
  /** Words that stand in many records, once each. */
  readonly #words = new Map<string, string>();

  get size(): number {
    return this.#devices.size;
  }

  serials(): Iterable<string> {
    return this.#devices.keys();
  }

  find(key: DeviceKey): DeviceRecord | null {
    if ('controllerId' in key) return this.#units.get(plainId(key.controllerId)) ?? null;
    if ('certificateSha256' in key) return this.#certificates.get(hex(key.certificateSha256)) ?? null;
    const record = this.#devices.get(key.serial);
    return record?.protocol === 'mqtt' ? record : null;
  }

  put(given: DeviceRecord): void {
    this.remove(given.serial);
    const record = this.#lean(given);
    this.#devices.set(record.serial, record);
    const { protocol, controllerId, certificateSha256 } = record;
    if (protocol === 'scaip' && controllerId !== null) this.#units.set(plainId(controllerId), record);
    if (protocol === 'mqtt' && certificateSha256 !== null) this.#certificates.set(hex(certificateSha256), record);
  }

  remove(serial: string): void {
    const record = this.#devices.get(serial);
    if (record === undefined) return;
    this.#devices.delete(serial);
    // Another device may stand there by now: ids move from one unit to its successor.
    const unit = record.controllerId === null ? '' : plainId(record.controllerId);
    if (this.#units.get(unit) === record) this.#units.delete(unit);
    const certificate = record.certificateSha256 === null ? '' : hex(record.certificateSha256);
    if (this.#certificates.get(certificate) === record) this.#certificates.delete(certificate);
  }

  #lean(record: DeviceRecord): DeviceRecord {
    const { municipality, model, state, household } = record;
    return {
      ...record,
      municipality: this.#word(municipality),
      model: this.#word(model),
      state: this.#word(state),
      household: household === null ? null : { ...household, zone: this.#word(household.zone) },
    };
  }

  #word(text: string): string {
    const known = this.#words.get(text);
    if (known !== undefined) return known;
    this.#words.set(text, text);
    return text;
  }
}
