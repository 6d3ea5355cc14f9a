import { checkInteger } from '../util/numbers';
import { storeBiosData } from './bios-data';
import { readPart } from './image-source';
import type { ImageSource } from './image-source';
import type { BootResult, Loader } from './loader';
import { realMode } from './registers';

/** Boot sectors as a PC BIOS starts them (BIOS Boot Specification 1.01). */

const sectorSize = 512;
const signatureOffset = 510;
const signature = 0xaa55;
const loadAddress = 0x7c00;
const firstHardDisk = 0x80;

export function isBootSector(source: ImageSource): boolean {
  return source.size >= sectorSize && readPart(source, signatureOffset, 2, 'boot signature').readUInt16LE() === signature;
}

/**
 * Loads the first sector, and nothing behind it, at 0:7c00 and starts it in real mode with the boot drive in DL.
 * The stack grows down from the sector. There is no BIOS: calls to one return with the carry flag set, and no
 * timer ticks.
 */
export function loadBootSector(loader: Loader): BootResult {
  loader.refuse(['append', 'modules'], 'a boot sector');
  const drive = checkInteger(loader.options.bootDrive ?? firstHardDisk, 'bootDrive', 0, 0xff);
  if (!isBootSector(loader.source)) {
    throw loader.error("is not a boot sector: it has no 55 aa at byte 510; build it with the signature, or use format: 'flat'");
  }
  loader.claim('boot sector', loadAddress, sectorSize);
  loader.fill(0, sectorSize, loadAddress, sectorSize);
  storeBiosData(loader);
  return loader.result('bootsector', loadAddress, { ...realMode({ ip: loadAddress, sp: loadAddress }), rdx: drive });
}
