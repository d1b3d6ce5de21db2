/**
 * Formats of JSON Schema as patterns. Sources: RFC 3339 (dates and times), RFC 9562 (uuid), RFC 791,
 * RFC 4291, RFC 1123 (hosts), RFC 5321 (mail), RFC 3986 (links).
 *
 * @module
 */

const DAY = "((0[1-9]|1[0-2])-(0[1-9]|1\\d|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)";
const LEAP_YEAR = "(\\d\\d(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00|0000)";
const DATE = `(\\d{4}-${DAY}|${LEAP_YEAR}-02-29)`;
const TIME = "([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,6})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)";
const BYTE = "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
const ATOM = "[A-Za-z0-9_%+-]{1,20}";
const GROUP = "[0-9a-f]{1,4}";
const COUNT = "(0|[1-9]\\d{0,5})";

/**
 * Patterns by the name of their format. All that they give is of the format; of what the format
 * allows they leave out the unusual: quoted mailboxes, shortened addresses,
 * escapes in links, fractions in durations.
 */
export const FORMATS: Readonly<Record<string, string>> = {
  date: `^${DATE}$`,
  time: `^${TIME}$`,
  "date-time": `^${DATE}T${TIME}$`,
  duration:
    `^P((${COUNT}W)|(${COUNT}Y(${COUNT}M(${COUNT}D)?)?)|(${COUNT}D)|(T${COUNT}H(${COUNT}M)?)|` +
    `(T${COUNT}M(${COUNT}S)?)|(T${COUNT}S)|(${COUNT}DT${COUNT}H))$`,
  uuid: "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
  ipv4: `^${BYTE}\\.${BYTE}\\.${BYTE}\\.${BYTE}$`,
  ipv6: `^(${GROUP}:){7}${GROUP}$`,
  hostname: `^(${LABEL}\\.){0,3}${LABEL}$`,
  email: `^${ATOM}(\\.${ATOM}){0,2}@(${LABEL}\\.){1,3}[A-Za-z]{2,24}$`,
  uri: `^https?://(${LABEL}\\.){0,3}${LABEL}(:[1-9]\\d{1,3})?(/[A-Za-z0-9._~-]{0,64}){0,16}` +
    "(\\?[A-Za-z0-9._~=&-]{1,256})?(#[A-Za-z0-9._~-]{1,64})?$",
};
