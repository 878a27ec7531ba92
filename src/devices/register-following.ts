/** Brings the register in memory up to what PostgreSQL holds: all of it at first, then what has changed. */
import type { RegisterMemory } from './register-memory.ts';
import type { DeviceRecord } from './register.ts';

/** What the register needs of the store. All @throws CentreError store-away. */
export interface DeviceSource {
  /**
   * Serials of what was changed, made or taken away since a mark, at most `most`, and the mark for the next time. A serial
   * may be told of again. The empty one: everything may have changed. `since` null: only the mark.
   */
  changes(since: bigint | null, most: number): Promise<{ readonly until: bigint; readonly serials: readonly string[] }>;
  /** The devices behind that serial, in the order of the store, at most `most`. */
  page(after: string, most: number): Promise<readonly DeviceRecord[]>;
  /** Those of these serials that exist, in any order. */
  records(serials: readonly string[]): Promise<readonly DeviceRecord[]>;
}

/** So many at a time are read: some milliseconds of the process' one thread. */
const PAGE = 1000;
/** Beyond so many changes at once, all is read anew. */
const MOST_CHANGES = 5000;

export class RegisterFollowing {
  readonly #source: DeviceSource;
  readonly #memory: RegisterMemory;
  /** Null: all must be read. */
  #since: bigint | null = null;

  constructor(source: DeviceSource, memory: RegisterMemory) {
    this.#source = source;
    this.#memory = memory;
  }

  /**
   * After it, memory holds everything that was committed when it was called, and nothing that was gone by then. Never two
   * at once. Devices are replaced one by one, so that a failure on the way leaves each as it was before or as it is now.
   * @returns whether all was read, instead of what had changed
   * @throws CentreError store-away
   */
  async refresh(): Promise<boolean> {
    const since = this.#since;
    const { until, serials } = await this.#source.changes(since, MOST_CHANGES + 1);
    // A mark that went back: the database was put back from a copy.
    if (since === null || until < since || serials.length > MOST_CHANGES || serials.includes('')) {
      this.#since = null;
      await this.#readAll();
      // Read from before it began, so that what was changed behind it comes with the next refresh.
      this.#since = until;
      return true;
    }
    for (let from = 0; from < serials.length; from += PAGE) await this.#read(serials.slice(from, from + PAGE));
    this.#since = until;
    return false;
  }

  async #read(serials: readonly string[]): Promise<void> {
    const records = await this.#source.records(serials);
    const gone = new Set(serials);
    for (const record of records) {
      gone.delete(record.serial);
      this.#memory.put(record);
    }
    for (const serial of gone) this.#memory.remove(serial);
  }

  async #readAll(): Promise<void> {
    const gone = new Set(this.#memory.serials());
    for (let after = '', more = true; more;) {
      const records = await this.#source.page(after, PAGE);
      for (const record of records) {
        gone.delete(record.serial);
        this.#memory.put(record);
      }
      after = records.at(-1)?.serial ?? after;
      more = records.length === PAGE;
    }
    for (const serial of gone) this.#memory.remove(serial);
  }
}
