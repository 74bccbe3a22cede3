"""JPEG Extended with 12 bits a sample, which pydicom's own ways do not decode; it runs in the decoding child."""

from __future__ import annotations

from medssl.io.dicom.job import Job


def extended(job: Job, frame: bytes) -> bytes:
    """Voxels of one frame by GDCM, row after row, little endian.

    Raises:
        ValueError: GDCM gives another number of voxels than the header says.
    """
    import gdcm

    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((job.columns, job.rows, 1))
    image.SetDataElement(element)
    grey = gdcm.PhotometricInterpretation.GetPIType("MONOCHROME2")
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(grey))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(job.syntax)))
    image.SetPixelFormat(gdcm.PixelFormat(1, job.bits, job.used, job.used - 1, job.signed))
    # its bytes come as text, which may not hold them all as characters
    voxels: bytes = image.GetBuffer().encode("utf-8", "surrogateescape")
    if len(voxels) != job.size:
        raise ValueError("the frame has another size than the header says")
    return voxels
