/** What became of the claim of a provisional alarm stands with its number: who hears nothing when it is replayed learns it there. */

export const aliasClaims = /* sql */ `
-- {"by": account, "result": "done" | "refused", "code": why}; null: nobody had claimed it.
alter table alarm_alias add column claim jsonb;
`;
