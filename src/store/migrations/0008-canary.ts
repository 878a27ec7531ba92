/** The synthetic household that proves each minute that alarms get through. */

export const canary = /* sql */ `
`;
