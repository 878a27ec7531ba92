/** Passing many deadlines at once, in few round trips. */

export const deadlines = /* sql */ `
`;
