/** What the spill needs of its file: entries that are durable before they are answered, and a mark up to where they are done. */

/** What lies in the spill: a signal, or an operator's claim of a provisional alarm. */
export type SpillKind = 'signal' | 'claim';

export interface SpillEntry {
  /** Rises with each entry and is never given twice, also over starts. */
  readonly seq: number;
  readonly kind: SpillKind;
  readonly payload: Uint8Array;
}

/** Why it takes nothing now: `full` by its bound, `broken` by the disk (full, read-only, damaged, or it does not answer). */
export type SpillFault = 'full' | 'broken';

/** Nothing of this entry was kept. */
export class NotSpilled extends Error {
  readonly fault: SpillFault;

  constructor(fault: SpillFault, options?: { cause?: unknown }) {
    super(fault === 'full' ? 'the spill is full' : 'the spill cannot be written', options);
    this.name = 'NotSpilled';
    this.fault = fault;
  }
}

export interface SpillLog {
  /**
   * Resolves with the entry's number when it is durable; entries are numbered and resolve in the order of the calls.
   * Where the disk does not answer for some seconds it is refused, and stays so.
   * @param spare which part of the bound this entry must leave free for more urgent ones, from 0 to 1
   * @throws NotSpilled
   */
  append(kind: SpillKind, payload: Uint8Array, spare?: number): Promise<number>;
  /** All entries up to this one are dealt with; segments that hold nothing else are removed. Never rejects. */
  done(upTo: number): Promise<void>;
  /** Keeps something that can be dealt with by nobody in a file of its own, for a technician. @throws when it cannot be written */
  setAside(name: string, payload: Uint8Array): Promise<void>;
  state(): {
    /** On the disk, dealt with or not. */
    readonly bytes: number;
    readonly fault: SpillFault | null;
    /** Files that somebody must look at: damaged segments, and what was set aside. */
    readonly aside: number;
  };
  /** After what is in hand. */
  stop(): Promise<void>;
}

/** The spill as it was found at the start. */
export interface OpenedSpill {
  /** What is not done, in order. */
  readonly entries: readonly SpillEntry[];
  readonly log: SpillLog;
}
