"""Words of anatomy, findings and radiotherapy: what a segment's label may hold to be shown."""

from __future__ import annotations

_TEXT = """
abdomen abdominal adrenal air airway airways all and angular anterior aorta aortic arch arm artery ascending
atrium autochthon axis background basal bladder blood body bone bones bowel brain brainstem breast bronchi
bronchus bypass calcification cartilage cauda caudate cava cavity cerebellum cerebral cerebrum cervical chamber
chest chiasm clavicle cochlea colon common consolidation contour contrast cord core coronary cortex costal couch
cranial ct ctv cyst deep dens descending diaphragm disc disk distal duct duodenum ear edema effusion enhancing
esophagus external eye eyes fat femoral femur fibula fluid foot foramen fossa gallbladder ganglia gland glottis
gluteus gtv gut head heart hemorrhage hepatic hip hippocampus humerus iliac iliopsoas ilium implant infarct
inferior inner internal intestine itv joint jugular kidney kidneys knee larynx lateral left leg lens lesion
lesions liver lobe lower lumbar lung lungs lymph lymphoma mandible marrow mass matter maximus medial mediastinum
medius medulla membrane meniscus metastases metastasis mid middle minimus mouth mr muscle muscles myocardium
nasal neck necrosis necrotic neoplasm nerve nerves nipple node nodes nodule nodules non nose oar of optic oral
orbit organ organs outer ovaries ovary palate pancreas parotid pelvic pelvis pericardium peripheral pet petrous
pharynx pituitary plaque pleura pleural plexus pneumonia polyp pons portal posterior primary process prostate
proximal psoas ptv pulmonary putamen radius rectum region renal retina rib ribs right roi sacrum salivary
scapula scar secondary segment seminal septum shoulder sigmoid sinus skeleton skin skull soft spinal spine
spleen splenic sternum stomach structure subclavian superior supraglottis target temporal testis thalamus thigh
thoracic thorax thrombus thymus thyroid tibia tissue tongue tonsil trachea transitional tumor tumour ulna upper
ureter ureters urethra urinary uterus vagina vascular vein veins vena ventricle vertebra vertebrae vertebral
vesicles vessel vessels vitreous volume whole wrist zone
"""

WORDS = frozenset(_TEXT.split())
"""A label with any other word is free text and may be a person's name; words that are surnames too are left out."""
