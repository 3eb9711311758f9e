/**
 * Prepares a password as SCRAM wants it (SASLprep, RFC 4013), with PostgreSQL's leniency: what cannot be prepared is used
 * as it is, so that both sides still agree on the bytes.
 */

/** Characters that are mapped to nothing (RFC 3454 table B.1). */
const MAPPED_TO_NOTHING = /[\u00ad\u034f\u1806\u180b-\u180d\u200b-\u200d\u2060\ufe00-\ufe0f\ufeff]/gu
/** Spaces other than the ASCII one (table C.1.2). */
const OTHER_SPACES = /[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/gu
/** Control, private use, unassigned for text, surrogate and tagging characters (tables C.2 to C.9). */
const PROHIBITED =
  /[\p{Cc}\u06dd\u070f\u180e\u200e\u200f\u2028-\u202e\u2061-\u2063\u206a-\u206f\u2ff0-\u2ffb\u0340\u0341\ufff9-\ufffd\u{1d173}-\u{1d17a}\u{e0001}\u{e0020}-\u{e007f}\p{Co}\p{Cs}\p{Noncharacter_Code_Point}]/u
const RIGHT_TO_LEFT = /[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}]/u
const LEFT_TO_RIGHT =
  /[\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/u

export function saslprep(password: string): string {
  if (/^[\x20-\x7e]*$/.test(password)) return password
  const prepared = password.replace(OTHER_SPACES, ' ').replace(MAPPED_TO_NOTHING, '').normalize('NFKC')
  if (prepared === '' || PROHIBITED.test(prepared) || !directionsAgree(prepared)) return password
  return prepared
}

/** RFC 3454 section 6: text with a right-to-left character has no left-to-right one, and begins and ends right-to-left. */
function directionsAgree(text: string): boolean {
  if (!RIGHT_TO_LEFT.test(text)) return true
  const characters = Array.from(text)
  return (
    !LEFT_TO_RIGHT.test(text) && RIGHT_TO_LEFT.test(characters[0]!) && RIGHT_TO_LEFT.test(characters.at(-1)!)
  )
}
