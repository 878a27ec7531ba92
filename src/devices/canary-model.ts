/** The model of the devices through which the centre watches itself: built in, since a centre's own models may say anything. */
import { CANARY_ID } from '../alarms/canary.ts';
import { type DeviceModel, modelOf } from './model.ts';

const DAY = 86_400;

/** A press is a call for help, `life`: it takes the way that must never be closed. Over SCAIP `dty` 3 (worn trigger), `stc` 10. */
export const CANARY_MODEL: DeviceModel = modelOf(
  CANARY_ID,
  {
    name: 'Canary',
    class: 'generic',
    // Nobody supervises it (its state says so too): what it misses, it says itself.
    supervision: {
      signEverySeconds: 30 * DAY,
      lateAfterSeconds: 35 * DAY,
      lostAfterSeconds: 40 * DAY,
      triggerLateAfterSeconds: 35 * DAY,
      triggerLostAfterSeconds: 40 * DAY,
    },
    mqtt: { types: { 'call-button': { role: 'need', priority: 'life' } } },
    scaip: {
      profile: { dialect: 'mrs-message', authentication: 'required' },
      sensors: { '3': { role: 'need', kind: 'call-button', priority: 'life' } },
      statuses: { '10': { role: 'need' } },
      exceptions: [],
    },
  },
  null,
);
