/** What the watch finds: one row for each thing that it looks at. */

export const audit = /* sql */ `
`;
