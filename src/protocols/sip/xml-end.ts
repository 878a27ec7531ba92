/** Finds where an XML body ends that comes in pieces and without a length, looking at each byte once. */

const LESS_THAN = 0x3c;
const NAME = /^[A-Za-z_][\w.:-]{0,63}/;
const LONGEST_NAME = 64;

/** Knows where it stopped: give it the same body each time, grown at the end. */
export class XmlEnd {
  /** Before this there is nothing more to find. */
  #seen = 0;
  #root: string | null = null;
  #closing = false;

  /** Where the closing tag of the first element ends; −1 when it is not there yet. */
  find(bytes: Buffer): number {
    const root = (this.#root ??= this.#findRoot(bytes));
    if (root === null) return -1;
    if (!this.#closing) {
      const close = bytes.indexOf(`</${root}`, this.#seen, 'latin1');
      this.#closing = close !== -1;
      // The tag may be half there.
      this.#seen = close === -1 ? Math.max(this.#seen, bytes.length - root.length - 1) : close;
      if (!this.#closing) return -1;
    }
    const end = bytes.indexOf('>', this.#seen);
    if (end === -1) this.#seen = bytes.length;
    return end === -1 ? -1 : end + 1;
  }

  #findRoot(bytes: Buffer): string | null {
    for (;;) {
      const open = bytes.indexOf(LESS_THAN, this.#seen);
      this.#seen = open === -1 ? bytes.length : open;
      if (open === -1) return null;
      const name = NAME.exec(bytes.toString('latin1', open + 1, open + 1 + LONGEST_NAME))?.[0] ?? '';
      // More of the name may come.
      if (open + 1 + name.length === bytes.length && name.length < LONGEST_NAME) return null;
      this.#seen = open + 1;
      if (name !== '') return name;
    }
  }
}
