/** The nodes of a centre and what the spill leaves behind: provisional numbers as aliases. */

export const spill = /* sql */ `
`;
