import com.pixelmed.validate.DicomSRValidator;

/** Check several structured reports in one process: the validator takes a quarter of a minute to start. */
class Validate {
    public static void main(String[] files) throws Exception {
        DicomSRValidator validator = new DicomSRValidator();
        for (String file : files) {
            System.out.println("== " + file);
            System.out.println(validator.validate(file));
        }
    }
}
