"""What leaves the house about an exam: DICOM SR, FHIR, CSV; made here, and handed to receivers."""
