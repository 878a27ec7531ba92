/** Reads a JSON file strictly: whatever is missing, unknown or of the wrong kind becomes one sentence that says where. */

export type Json = Readonly<Record<string, unknown>>;

const shown = (value: unknown): string => JSON.stringify(value) ?? 'nothing';

/** Gathers every fault of one file, so that a person corrects it once. */
export class Faults {
  readonly sentences: string[] = [];

  say(where: string, sentence: string): void {
    this.sentences.push(`${where} ${sentence}.`);
  }

  object(where: string, value: unknown, known: readonly string[]): Json {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.say(where, `must be an object (it is ${shown(value)})`);
      return {};
    }
    const fields = value as Json;
    for (const name of Object.keys(fields)) {
      if (!known.includes(name)) this.say(where, `has an unknown field "${name}" (known are ${known.join(', ')})`);
    }
    return fields;
  }

  list(where: string, value: unknown): readonly unknown[] {
    if (value === undefined) return [];
    if (Array.isArray(value)) return value as readonly unknown[];
    this.say(where, `must be a list (it is ${shown(value)})`);
    return [];
  }

  text(where: string, value: unknown): string {
    if (typeof value === 'string' && value.trim() !== '') return value;
    this.say(where, value === undefined ? 'is missing' : `must be a text (it is ${shown(value)})`);
    return '';
  }

  oneOf<T extends string>(where: string, value: unknown, choices: readonly T[]): T {
    const found = choices.find((choice) => choice === value);
    if (found !== undefined) return found;
    this.say(where, value === undefined ? 'is missing' : `must be one of ${choices.join(', ')} (it is ${shown(value)})`);
    return choices[0] as T;
  }

  number(where: string, value: unknown, min: number, max: number): number {
    if (typeof value === 'number' && value >= min && value <= max) return value;
    this.say(where, value === undefined ? 'is missing' : `must be a number from ${min} to ${max} (it is ${shown(value)})`);
    return min;
  }

  /** `[from, to]`, not backwards. */
  range(where: string, value: unknown, max: number): readonly [number, number] {
    if (Array.isArray(value) && value.length === 2) {
      const from = this.number(`${where}[0]`, value[0], 0, max);
      const to = this.number(`${where}[1]`, value[1], 0, max);
      if (from > to) this.say(where, `runs backwards (from ${from} to ${to})`);
      return [from, to];
    }
    this.say(where, value === undefined ? 'is missing' : `must be two numbers, from and to (it is ${shown(value)})`);
    return [0, 0];
  }

  /** `HH:MM:SS`, hours counting on past 23; in seconds. */
  time(where: string, value: unknown): number {
    const read = typeof value === 'string' ? /^(\d{2}):([0-5]\d):([0-5]\d)$/.exec(value) : null;
    if (read !== null) return Number(read[1]) * 3600 + Number(read[2]) * 60 + Number(read[3]);
    this.say(where, value === undefined ? 'is missing' : `must be a time such as "18:05:00" (it is ${shown(value)})`);
    return 0;
  }
}
