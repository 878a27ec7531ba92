/** How intake follows changes of the register: a number that rises with each. */

export const register = /* sql */ `
`;
