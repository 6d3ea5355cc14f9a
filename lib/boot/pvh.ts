import { readElf, segmentType } from './elf';
import type { ElfSegment } from './elf';
import { readPart } from './image-source';
import type { ImageSource } from './image-source';

/**
 * Recognises kernels for the PVH boot protocol: ELF files with the note XEN_ELFNOTE_PHYS32_ENTRY
 * (Xen, docs/misc/pvh.pandoc and xen/include/public/elfnote.h).
 */
const noteName = 'Xen\0';
const notePhys32Entry = 18;

/** Kernels keep a few hundred bytes of notes; the rest of a larger segment is not looked at. */
const maximumNoteBytes = 65536;
/** Linkers make one or two note segments. */
const maximumNoteSegments = 16;

/** Whether an ELF file has the note. Throws ERR_HAX_IMAGE when its headers are not sound. */
export function hasPvhNote(source: ImageSource): boolean {
  return readElf(source)
    .segments.filter((segment) => segment.type === segmentType.note)
    .slice(0, maximumNoteSegments)
    .some((segment) => segmentHasNote(source, segment));
}

/** Notes are name size, descriptor size, type, then name and descriptor, each padded to 4 bytes (System V ABI, "Note Section"). */
function segmentHasNote(source: ImageSource, { offset, fileSize }: ElfSegment): boolean {
  if (offset >= source.size) return false;
  const notes = readPart(source, offset, Math.min(fileSize, maximumNoteBytes, source.size - offset), 'notes');
  for (let at = 0; at + 12 <= notes.length;) {
    const nameSize = notes.readUInt32LE(at);
    const descriptorSize = notes.readUInt32LE(at + 4);
    if (notes.readUInt32LE(at + 8) === notePhys32Entry && notes.toString('latin1', at + 12, at + 12 + nameSize) === noteName) return true;
    at += 12 + paddedSize(nameSize) + paddedSize(descriptorSize);
  }
  return false;
}

function paddedSize(size: number): number {
  return Math.ceil(size / 4) * 4;
}
