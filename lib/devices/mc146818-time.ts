/**
 * The bytes of an MC146818's time and alarm (mc146818.ts has the reference): BCD or binary, 24 hours or 12, as register B says, and the
 * second of the calendar that they stand for. Seconds count from 1970, UTC.
 */

/** Indices of the bytes of the time: seconds, minutes, hours, day of the week, day, month, year, century. */
export const timeBytes: readonly number[] = [0x00, 0x02, 0x04, 0x06, 0x07, 0x08, 0x09, 0x32];
const [seconds, minutes, hours, , day, month, year, century] = timeBytes.map((_, i) => i);

/** Register B: data mode (1 binary, 0 BCD), 24 hours. */
const binary = 0x04;
export const hours24 = 0x02;
/** In the mode of 12 hours: afternoon. */
const afternoon = 0x80;
/** Alarm bytes from here on are "don't care" codes. */
const anyValue = 0xc0;

/** 1 January of the year 0, seconds since 1970: before it no byte says the year. */
export const yearZero = -62_167_219_200;
const minute = 60;
const hour = 60 * minute;
const dayLength = 24 * hour;

/** The eight numbers of a second, in the order of `timeBytes`. */
export function timeOf(second: number): number[] {
  const date = new Date(second * 1000);
  const fullYear = date.getUTCFullYear();
  return [
    date.getUTCSeconds(),
    date.getUTCMinutes(),
    date.getUTCHours(),
    date.getUTCDay() + 1,
    date.getUTCDate(),
    date.getUTCMonth() + 1,
    fullYear % 100,
    Math.floor(fullYear / 100),
  ];
}

/** Numbers that are no date, such as 31 February, are the date so many days on; the day of the week follows from it. */
export function secondOf(time: readonly number[]): number {
  const date = new Date(0);
  date.setUTCFullYear((time[century] % 100) * 100 + (time[year] % 100), time[month] - 1, time[day]);
  date.setUTCHours(time[hours], time[minutes], time[seconds]);
  return Math.max(date.getTime() / 1000, yearZero);
}

/** A number of the time as its byte. */
export function encode(value: number, field: number, registerB: number): number {
  if (field === hours && !(registerB & hours24)) {
    return code(value % 12 === 0 ? 12 : value % 12, registerB) | (value >= 12 ? afternoon : 0);
  }
  return code(value, registerB);
}

/** The number of a byte of the time. */
export function decode(byte: number, field: number, registerB: number): number {
  const number = (digits: number): number => (registerB & binary ? digits : (digits >> 4) * 10 + (digits & 0x0f));
  if (field !== hours || registerB & hours24) return number(byte);
  return (number(byte & ~afternoon) % 12) + (byte & afternoon ? 12 : 0);
}

/** Seconds from one that has begun to the next that the alarm's three bytes match, 1 to 86,400; Infinity when no byte of the time is ever such. */
export function secondsToAlarm(second: number, alarm: readonly number[], registerB: number): number {
  const [atSecond, atMinute, atHour] = alarm.map((byte, field) => {
    const value = byte >= anyValue ? -1 : decode(byte, field, registerB);
    return value === -1 || (encode(value, field, registerB) === byte && value < (field === hours ? 24 : 60)) ? value : Infinity;
  });
  if (Math.max(atSecond, atMinute, atHour) === Infinity) return Infinity;
  const matches = (at: number, value: number): boolean => at === -1 || at === value;
  let time = second + 1;
  for (;;) {
    const ofDay = (time - yearZero) % dayLength;
    if (!matches(atHour, Math.floor(ofDay / hour))) time += hour - (ofDay % hour);
    else if (!matches(atMinute, Math.floor((ofDay % hour) / minute))) time += minute - (ofDay % minute);
    else if (!matches(atSecond, ofDay % minute)) time++;
    else return time - second;
  }
}

function code(number: number, registerB: number): number {
  return (registerB & binary ? number : (Math.floor(number / 10) << 4) | (number % 10)) & 0xff;
}
