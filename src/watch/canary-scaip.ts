/** A synthetic unit that presses over SCAIP and UDP: asks whether it is registered, sends an alarm, waits for 200 and `mrs`. */
import { CANARY_CONTROLLER } from '../alarms/canary.ts';
import type { Random } from '../base/ids.ts';
import { CONTENT_TYPE, encodeRequest } from '../protocols/scaip/encode.ts';
import { CanaryFault, type Course } from './canary-course.ts';
import { AGAIN_AFTER, type Press } from './canary-mqtt.ts';
import { SyntheticUnit } from './canary-unit.ts';

/** @throws CanaryFault */
export async function pressOverScaip(press: Press & { readonly random: Random }): Promise<void> {
  const { course, id } = press;
  const unit = await course.take('connect', async () => {
    const opened = await SyntheticUnit.open(press);
    try {
      await known(opened, course);
      return opened;
    } catch (error) {
      opened.close();
      throw error;
    }
  });
  try {
    const replied = unit.reply(id);
    replied.catch(() => undefined);
    await course.take('press', async () => {
      const body = encodeRequest([
        ['ref', id],
        ['ver', '01.00'],
        ['mty', 'ME'],
        ['cid', CANARY_CONTROLLER],
        ['dty', '0003'],
        ['crd', 'no-voice:'],
        ['stc', '0010'],
      ]);
      const { status } = await unit.ask('MESSAGE', body, [{ name: 'content-type', value: CONTENT_TYPE }]);
      if (status !== 200) throw new CanaryFault(`sip-${status}`);
    });
    await course.take('reply', () => replied);
  } finally {
    unit.close();
  }
}

/**
 * A unit that the node does not know (yet) would be a stranger's alarm on the operators' board, and one whose secret it
 * does not have would be held: so it asks first, by a REGISTER that changes nothing (RFC 3261 § 10.3, no Contact).
 */
async function known(unit: SyntheticUnit, course: Course): Promise<void> {
  for (;;) {
    const { status } = await unit.ask('REGISTER', new Uint8Array(0), []);
    if (status === 200) return;
    if (status !== 401 && status !== 403) throw new CanaryFault(`sip-${status}`);
    await course.pause(AGAIN_AFTER);
  }
}
