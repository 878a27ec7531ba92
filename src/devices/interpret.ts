/** The door to interpretation: what a message of each protocol means. */
export { interpretMqtt } from './interpret-mqtt.ts';
export { interpretScaip } from './interpret-scaip.ts';
export {
  duringTest,
  overBridge,
  type Interpretation,
  type InterpretedSignal,
  type LifeSignSort,
  type SeenFacts,
} from './interpretation.ts';
export { interpretCall } from './interpret-call.ts';
